"""A custom format of the report, for spreadsheets.

cd examples && tune-nas report lambda --format own_report:Csv
"""

from __future__ import annotations

import csv
import io

from tune_nas.report import Comparison, ReportFormat
from tune_nas.text import printable


class Csv(ReportFormat):
    """A line for each configuration and metric, best configuration first."""

    def render(self, comparison: Comparison) -> str:
        """Return the lines, with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*comparison.axes, "metric", "mean", "std", "n"])
        ranking = comparison.ranking()
        others = [row for row in comparison.rows() if row not in ranking]
        for row in [*ranking, *others]:
            values = [printable(str(value)) for value in row.values.values()]
            for name, statistic in row.statistics.items():
                writer.writerow([*values, name, statistic.mean, statistic.std, statistic.n])
        return text.getvalue()
