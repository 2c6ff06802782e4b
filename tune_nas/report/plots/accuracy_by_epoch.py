"""Validation accuracy by epoch for each swept value."""

from __future__ import annotations

from tune_nas.report.comparison import Comparison
from tune_nas.report.plots.epoch_curves import epochs_caption, plot_by_epoch
from tune_nas.report.plots.report_plot import ReportPlot


def plot_accuracy_by_epoch(comparison: Comparison) -> ReportPlot | None:
    """Draw the validation accuracy by epoch (He et al., "MiLeNAS", CVPR 2020, Fig. 2b)."""
    figure = plot_by_epoch(comparison, [comparison.valid_accuracy])
    if figure is None:
        return None
    caption = f"{epochs_caption(comparison)} Follows MiLeNAS, Fig. 2b."
    return ReportPlot("accuracy-by-epoch", "Validation accuracy by epoch", caption, figure)
