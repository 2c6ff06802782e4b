"""The advantage of skip connections in α against the accuracy of the supernet."""

from __future__ import annotations

import math

from tune_nas.figures.palette import QUIET
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import metric_name
from tune_nas.report.plots.panels import metric_label, new_figure, style_axes
from tune_nas.report.plots.point_plots import draw_points
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.series import lay_out_series
from tune_nas.report.plots.thinning import Point, points_per_line, thin
from tune_nas.report.results import TrialResult

_ADVANTAGE = "skip_advantage"


def skip_path(trial: TrialResult, accuracy: str) -> list[Point]:
    """Return (accuracy, skip advantage) of each epoch that has finite values of both."""
    pairs = ((m.get(accuracy, math.nan), m.get(_ADVANTAGE, math.nan)) for m in trial.history)
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def plot_skip_dominance(comparison: Comparison) -> ReportPlot | None:
    """Draw mean(α_skip − α_conv) against the supernet's accuracy, a path for each search.

    After softmax over the operations of an edge, averaged over the edges with both kinds (Wang,
    "Towards efficient, effective, and robust NAS methods", Fig. 2.3).
    """
    layout = lay_out_series(comparison, facets=False)
    accuracy = comparison.valid_accuracy
    most = points_per_line(sum(len(one.group.trials) for one in layout.series))
    figure = new_figure(3.3, layout.legend(lines=False))
    panel = figure.add_subplot()
    empty = True
    for one in layout.series:
        ends = []
        for trial in one.group.trials:
            path = thin(skip_path(trial, accuracy.key), most)
            if not path:
                continue
            empty = False
            ends.append(path[-1])
            x, y = zip(*path, strict=True)
            panel.plot(x, y, color=one.style.color, linewidth=0.9, alpha=0.5, zorder=2)
        draw_points(panel, ends, one.style, size=6)
    if empty:
        return None
    panel.axhline(0, color=QUIET, linewidth=0.8, zorder=1)
    style_axes(panel, metric_label(accuracy), metric_label(metric_name(_ADVANTAGE)))
    caption = (
        "A line is one search over its epochs; the point is its last epoch. Above 0, skip "
        "connections have larger weights (softmax of α) than convolutions, averaged over the edges "
        f"that have both. {layout.colors} Follows Wang's thesis, Fig. 2.3."
    )
    return ReportPlot("skip-dominance", "Skip connections in α", " ".join(caption.split()), figure)
