"""Numbers of skip connections and convolutions by epoch."""

from __future__ import annotations

from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import metric_name
from tune_nas.report.plots.epoch_curves import LINES_AS_BEFORE, plot_by_epoch
from tune_nas.report.plots.report_plot import ReportPlot


def plot_operations_by_epoch(comparison: Comparison) -> ReportPlot | None:
    """Draw the numbers of skip connections and convolutions of each epoch's genotype."""
    names = [metric_name("genotype/skips"), metric_name("genotype/convolutions")]
    figure = plot_by_epoch(comparison, names)
    if figure is None:
        return None
    caption = (
        "Counts over all cell types of the genotype of each epoch. A search that collapses ends in "
        f"skip connections. {LINES_AS_BEFORE} The number of convolutions is the model "
        "size of MiLeNAS, Fig. 3b."
    )
    return ReportPlot("operations-by-epoch", "Skip connections and convolutions", caption, figure)
