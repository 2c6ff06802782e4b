"""The results of a sweep: its trials compared, and the comparison in several formats.

`Comparison` is computed from trial results alone. Each `ReportFormat` renders a comparison, in a
separate module: `terminal`, `markdown`, `json_document`; `frame` is for pandas, and `axis_plot` for
the figure.

The names below are loaded when they are first used: importing the package imports neither
matplotlib, pandas nor rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from tune_nas.report.axis_plot import plot_axis
    from tune_nas.report.comparison import Comparison
    from tune_nas.report.frame import to_dataframe
    from tune_nas.report.report import Report
    from tune_nas.report.report_format import ReportFormat, find_report_format
    from tune_nas.report.results import TrialResult, read_results
else:
    __getattr__ = lazily(
        __name__,
        {
            "Comparison": "tune_nas.report.comparison",
            "Report": "tune_nas.report.report",
            "ReportFormat": "tune_nas.report.report_format",
            "TrialResult": "tune_nas.report.results",
            "find_report_format": "tune_nas.report.report_format",
            "plot_axis": "tune_nas.report.axis_plot",
            "read_results": "tune_nas.report.results",
            "to_dataframe": "tune_nas.report.frame",
        },
    )

__all__ = [
    "Comparison",
    "Report",
    "ReportFormat",
    "TrialResult",
    "find_report_format",
    "plot_axis",
    "read_results",
    "to_dataframe",
]
