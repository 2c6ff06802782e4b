"""A comparison as a Markdown page."""

from __future__ import annotations

from tune_nas.report.baseline_text import BASELINE_TITLE, baseline_lines, baseline_table
from tune_nas.report.columns import TextTable, text_table
from tune_nas.report.comparison import Comparison
from tune_nas.report.report_format import ReportFormat
from tune_nas.report.sentence import compose
from tune_nas.report.setting_text import TITLE, setting_lines, setting_table
from tune_nas.report.size_text import SIZE_TITLE, size_table
from tune_nas.report.statistical_notes import (
    ORDERS_TITLE,
    STATISTICS_TITLE,
    orders_table,
    statistical_notes,
    statistics_table,
)
from tune_nas.text import printable


class Markdown(ReportFormat):
    """A Markdown page, like ``report.md`` in the folder of a sweep."""

    def render(self, comparison: Comparison) -> str:
        """Return the page."""
        return printable(to_markdown(comparison))


def to_markdown(comparison: Comparison) -> str:
    """Return the page: the sentence, the tables, and the unfinished trials."""
    content = text_table(comparison)
    parts = [f"# Sweep {comparison.sweep}", "", compose(comparison), "", *_lines(content)]
    parts[4:4] = [line for remark in comparison.remarks for line in (remark, "")]
    parts += ["", "Mean ± sample standard deviation over the trials that ran to their end"]
    parts[-1] += " and did not diverge." if content.counts_diverged else "."
    for title, table in (
        (STATISTICS_TITLE, statistics_table(comparison)),
        (BASELINE_TITLE, baseline_table(comparison)),
        (ORDERS_TITLE, orders_table(comparison)),
    ):
        if table is not None:
            parts += ["", f"## {title}", "", *_lines(table)]
    notes = [*statistical_notes(comparison), *baseline_lines(comparison)]
    if notes:
        parts += ["", *(f"- {note}" for note in notes)]
    by_setting = setting_table(comparison)
    if by_setting is not None:
        parts += ["", f"## {TITLE}", "", *_lines(by_setting), ""]
        parts += [f"- {line}" for line in setting_lines(comparison)]
    by_size = size_table(comparison)
    if by_size is not None:
        parts += ["", f"## {SIZE_TITLE}", "", *_lines(by_size)]
    notes = comparison.notes()
    if notes:
        parts += ["", *(f"- {note}" for note in notes)]
    return "\n".join(parts) + "\n"


def _lines(content: TextTable) -> list[str]:
    """Return the lines of a table; the cells of its best row are bold."""
    n_numbers = len(content.header) - content.n_axes
    lines = [f"| {' | '.join(content.header)} |"]
    lines.append("|" + "|".join(["---"] * content.n_axes + ["---:"] * n_numbers) + "|")
    for number, line in enumerate(content.lines):
        cells = [f"**{cell}**" if content.is_best(number) and cell else cell for cell in line]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
