"""Model size by epoch."""

from __future__ import annotations

from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import metric_name
from tune_nas.report.plots.epoch_curves import LINES_AS_BEFORE, plot_by_epoch
from tune_nas.report.plots.report_plot import ReportPlot


def plot_size_by_epoch(comparison: Comparison) -> ReportPlot | None:
    """Draw the parameters of each epoch's genotype (MiLeNAS, Fig. 3b)."""
    figure = plot_by_epoch(comparison, [metric_name("genotype/parameters")])
    if figure is None:
        return None
    caption = (
        "Parameters of the network that retraining would build from the genotype of the epoch. "
        f"{LINES_AS_BEFORE} Follows MiLeNAS, Fig. 3b, with parameters for the number of "
        "convolutions, which is in the plot of the operations."
    )
    return ReportPlot("size-by-epoch", "Model size by epoch", caption, figure)
