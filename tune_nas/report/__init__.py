"""The results of a sweep: its trials compared, and the comparison in several formats.

`Comparison` is computed from trial results alone. Each format is a function of a comparison in a
separate module: `terminal`, `markdown`, `json_document`, `frame` for pandas, and
`axis_plot` for the figure.
"""

from tune_nas.report.axis_plot import plot_axis
from tune_nas.report.comparison import Comparison
from tune_nas.report.frame import to_dataframe
from tune_nas.report.report import Report
from tune_nas.report.results import TrialResult, read_results

__all__ = ["Comparison", "Report", "TrialResult", "plot_axis", "read_results", "to_dataframe"]
