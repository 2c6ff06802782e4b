"""The gap between training and validation accuracy by epoch."""

from __future__ import annotations

from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import metric_name
from tune_nas.report.plots.epoch_curves import LINES_AS_BEFORE, plot_by_epoch
from tune_nas.report.plots.report_plot import ReportPlot


def plot_gap_by_epoch(comparison: Comparison) -> ReportPlot | None:
    """Draw training minus validation accuracy by epoch (MiLeNAS, Fig. 2a)."""
    figure = plot_by_epoch(comparison, [metric_name("gap")])
    if figure is None:
        return None
    caption = (
        "Training accuracy minus validation accuracy of the supernet; above 0, the weights fit the "
        f"training images better. {LINES_AS_BEFORE} Follows MiLeNAS, Fig. 2a."
    )
    return ReportPlot("gap-by-epoch", "Train-valid gap by epoch", caption, figure)
