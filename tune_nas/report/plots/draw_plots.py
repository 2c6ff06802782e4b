"""The plots of a comparison, in the order of a report page."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.report.axis_plot import plot_axis
from tune_nas.report.comparison import Comparison
from tune_nas.report.plots.report_plot import ReportPlot


def draw_plots(comparison: Comparison, alphas: Mapping[str, bytes]) -> list[ReportPlot]:
    """Return the plots that can be drawn from a comparison.

    Args:
        comparison: The comparison.
        alphas: For each trial id, its α history (``alphas.csv``), as far as known.
    """
    if not comparison.ranking():
        return []
    caption = "Every trial that ran to its end; mean ± sample standard deviation of several."
    return [ReportPlot("by-value", "By swept value", caption, plot_axis(comparison))]
