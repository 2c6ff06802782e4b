"""Validation accuracy by model size."""

from __future__ import annotations

import math

from matplotlib.ticker import MaxNLocator

from tune_nas.figures.palette import QUIET
from tune_nas.report.comparison import Comparison
from tune_nas.report.plots.panels import metric_label, new_figure, style_axes
from tune_nas.report.plots.point_plots import draw_points
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.series import lay_out_series
from tune_nas.report.results import TrialResult

SIZE = "genotype/convolutions"
_SPREAD = 0.56  # the points of one size, in all
_GOLDEN = (math.sqrt(5) - 1) / 2


def best_by_size(trial: TrialResult, accuracy: str) -> dict[float, float]:
    """Return the best accuracy of a search at each number of convolutions, over its epochs."""
    best: dict[float, float] = {}
    for metrics in trial.history:
        size, value = metrics.get(SIZE, math.nan), metrics.get(accuracy, math.nan)
        if math.isfinite(size) and math.isfinite(value):
            best[size] = max(value, best.get(size, -math.inf))
    return best


def plot_accuracy_by_size(comparison: Comparison) -> ReportPlot | None:
    """Draw the best validation accuracy of each search at each model size (MiLeNAS, Fig. 3c).

    The size is the number of convolutions of an epoch's genotype.
    """
    layout = lay_out_series(comparison, facets=False)
    accuracy = comparison.valid_accuracy
    figure = new_figure(3.1, layout.legend(lines=False))
    panel = figure.add_subplot()
    best: dict[float, float] = {}
    n = len(layout.series)
    for number, one in enumerate(layout.series):
        # Many are spread without an order, which would look like a trend.
        share = number * _GOLDEN % 1 if one.style.many else (number + 0.5) / n
        aside = _SPREAD * (share - 0.5)
        points = []
        for trial in one.group.trials:
            for size, value in best_by_size(trial, accuracy.key).items():
                points.append((size + aside, value))
                best[size] = max(value, best.get(size, -math.inf))
        draw_points(panel, points, one.style, size=5, alpha=0.7)
    if not best:
        return None
    for size, value in best.items():
        panel.hlines(value, size - 0.34, size + 0.34, colors=QUIET, linewidth=1.2, zorder=2)
    style_axes(panel, "number of convolutions", metric_label(accuracy))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    caption = (
        "A point is the best epoch of one search among those whose genotype had this number of "
        "convolutions; points of one number are spread sideways. A bar is the best of all searches "
        "at that size. Later epochs are better trained, which size alone does not show. "
        f"{layout.colors} Follows MiLeNAS, Fig. 3c."
    )
    return ReportPlot(
        "accuracy-by-size", "Validation accuracy by model size", " ".join(caption.split()), figure
    )
