"""The anytime curve of a sweep: the best search so far against the cost of all searches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tune_nas.figures.palette import PALETTE
from tune_nas.report.comparison import Comparison
from tune_nas.report.plots.panels import metric_label, new_figure, style_axes
from tune_nas.report.plots.point_plots import draw_points, finite_metric, search_metric
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.series import Style
from tune_nas.report.rows import has_diverged, metric_value


@dataclass(frozen=True)
class AnytimePoint:
    """The state of a sweep after a search.

    Args:
        epochs: Epochs of all searches so far.
        seconds: Search seconds of all searches so far.
        value: The metric of this search; nan if it has none.
        counted: Whether the search ran to its end, so that it can be the best.
        best: The best metric so far; nan before the first.
    """

    epochs: int
    seconds: float
    value: float
    counted: bool
    best: float


def anytime_curve(comparison: Comparison) -> list[AnytimePoint]:
    """Return a point for each search of the search phase, in the order of the results."""
    name, mode = search_metric(comparison)
    choose = max if mode == "max" else min
    points: list[AnytimePoint] = []
    epochs, seconds, best = 0, 0.0, math.nan
    for trial in comparison.results:
        if trial.phase != "search":
            continue
        epochs += len(trial.history)
        seconds += metric_value(trial, "seconds") or 0.0
        value = finite_metric(trial, name.key)
        diverged = has_diverged(trial, comparison.rank_by.key)
        counted = trial.status == "finished" and not diverged and math.isfinite(value)
        if counted:
            best = choose(best, value) if math.isfinite(best) else value
        points.append(AnytimePoint(epochs, seconds, value, counted, best))
    return points


def plot_anytime(comparison: Comparison) -> ReportPlot | None:
    """Draw the best value so far against cumulative epochs and search seconds.

    None if fewer than two searches ran to their end.
    """
    points = anytime_curve(comparison)
    if sum(point.counted for point in points) < 2:
        return None
    name, _ = search_metric(comparison)
    costs = {"epochs of all searches so far": [float(point.epochs) for point in points]}
    if points[-1].seconds > 0:
        costs["seconds of all searches so far"] = [point.seconds for point in points]
    if points[-1].epochs == 0:
        del costs["epochs of all searches so far"]
    if not costs:
        return None
    figure = new_figure(2.6 * len(costs))
    style = Style(PALETTE[0])
    for number, (label, at) in enumerate(costs.items()):
        panel = figure.add_subplot(len(costs), 1, number + 1)
        pairs = [(x, point) for x, point in zip(at, points, strict=True)]
        ended = [(x, point.value) for x, point in pairs if point.counted]
        early = [
            (x, point.value)
            for x, point in pairs
            if not point.counted and math.isfinite(point.value)
        ]
        draw_points(panel, ended, style, size=5, alpha=0.6)
        draw_points(panel, early, style, marker="x", size=5, alpha=0.6)
        known = [(x, point.best) for x, point in pairs if math.isfinite(point.best)]
        panel.plot(
            *zip(*known, strict=True),
            color=style.color,
            linewidth=1.8,
            drawstyle="steps-post",
            zorder=2,
        )
        panel.set_xlim(left=0)
        style_axes(panel, label, metric_label(name))
    early_note = (
        " A cross is a search that did not run to its end: it costs, but is never the best."
        if any(not point.counted for point in points)
        else ""
    )
    caption = (
        "A point is one search of the first phase, at the cost of all searches up to it in the "
        "order in which they were made; concurrent ones are counted one after the other. The line "
        f"is the best so far.{early_note} The best of many single searches is an overestimate."
    )
    return ReportPlot("anytime", "Best so far", caption, figure)
