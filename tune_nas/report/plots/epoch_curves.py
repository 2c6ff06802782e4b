"""Metrics by epoch: a line for each trial, and means with bands for each swept value."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tune_nas.figures.palette import INK
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import MetricName
from tune_nas.report.plots.panels import format_counts, metric_label, new_figure, style_axes
from tune_nas.report.plots.series import Series, SeriesLayout, Style, end_mark, lay_out_series
from tune_nas.report.plots.thinning import Point, points_per_line, thin
from tune_nas.report.plots.trial_groups import endings_text
from tune_nas.report.results import TrialResult

LARGE = ("genotype/parameters", "genotype/multiply_adds")
"""Metrics with large numbers."""
LINES_AS_BEFORE = "Lines and bands are as under “Validation accuracy by epoch”."
"""In place of `epochs_caption` in all plots but the first."""
_HEIGHT = 2.7  # inches per panel
_MOST_OF_MEAN = 40  # points per line


def metric_curve(trial: TrialResult, key: str) -> list[Point]:
    """Return a metric of every epoch as (epoch, value); nan if it is missing or not finite.

    Empty if no epoch has a finite value.
    """
    points = []
    for number, metrics in enumerate(trial.history, start=1):
        value = metrics.get(key, math.nan)
        points.append((float(number), float(value) if math.isfinite(value) else math.nan))
    return points if any(math.isfinite(value) for _, value in points) else []


def plot_by_epoch(comparison: Comparison, names: Sequence[MetricName]) -> Figure | None:
    """Draw metrics by epoch, a panel each; None if no trial has any of them.

    Every search is a thin line. If several of a group ran to their end, their mean is a thick line
    over the epochs that all of them have, with a band from the smallest to the largest value. A
    search that ended early has a mark at its last epoch.
    """
    layout = lay_out_series(comparison)
    known = [
        name
        for name in names
        if any(metric_curve(trial, name.key) for one in layout.series for trial in one.group.trials)
    ]
    if not known:
        return None
    panels = [(name, facet) for name in known for facet in range(len(layout.facets))]
    figure = new_figure(_HEIGHT * len(panels), layout.legend(lines=True))
    most = points_per_line(len(known) * sum(len(one.group.trials) for one in layout.series))
    # Many bands overlap: each is fainter.
    opacity = 0.16 if len(layout.series) <= 3 else 0.08
    first: Axes | None = None
    for number, (name, facet) in enumerate(panels):
        panel = figure.add_subplot(len(panels), 1, number + 1, sharex=first)
        first = first or panel
        last = number == len(panels) - 1
        style_axes(panel, "epoch" if last else "", metric_label(name))
        if name.key in LARGE:
            format_counts(panel, x=False)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panel.tick_params(labelbottom=last)
        if layout.facets[facet]:
            panel.set_title(layout.facets[facet], fontsize=9, color=INK, loc="left")
        for one in layout.series:
            if one.facet == facet:
                _draw(panel, one, name.key, most, opacity)
    return figure


def epochs_caption(comparison: Comparison) -> str:
    """Return the sentences that explain the lines of `plot_by_epoch`."""
    layout = lay_out_series(comparison)
    rows = [one.group.row for one in layout.series]
    several = sorted({row.n for row in rows if row.n > 1})
    sentences = ["A thin line is one search."]
    if several:
        counts = f"{several[0]}" if len(several) == 1 else f"{several[0]} to {several[-1]}"
        which = "repeats" if any(row.phase == "repeat" for row in rows) else "searches"
        sentences.append(
            f"A thick line is the mean of the n = {counts} {which} of a value that ran to their "
            "end; its band reaches from the smallest to the largest."
        )
    sentences += [_endings(layout), layout.colors]
    return " ".join(sentence for sentence in sentences if sentence)


def _endings(layout: SeriesLayout) -> str:
    if not layout.endings:
        return ""
    return f"Searches marked as {endings_text(layout.endings)} are excluded from means."


def _draw(panel: Axes, one: Series, key: str, most: int, opacity: float) -> None:
    group, style = one.group, one.style
    alone = len(group.row.trials) == 1
    counted = {trial.trial_id for trial in group.row.trials}
    for trial in group.trials:
        strong = alone and trial.trial_id in counted
        _draw_trial(panel, trial, key, style, group.endings.get(trial.trial_id, ""), most, strong)
    curves = [dict(metric_curve(trial, key)) for trial in group.row.trials]
    if len(curves) > 1:
        _draw_mean(panel, curves, style, opacity)


def _draw_trial(
    panel: Axes,
    trial: TrialResult,
    key: str,
    style: Style,
    ending: str,
    most: int,
    strong: bool,
) -> None:
    points = thin(metric_curve(trial, key), most)
    if not points:
        return
    x, y = zip(*points, strict=True)
    lonely = sum(map(math.isfinite, y)) == 1
    marked = lonely or (strong and not style.many)
    width = 0.8 if not strong else 1.0 if style.many else 1.4
    panel.plot(
        x,
        y,
        color=style.color,
        linewidth=width,
        linestyle=style.dash if strong else "solid",
        marker=style.marker if marked else "none",
        markersize=4,
        markevery=_every(len(x)),
        alpha=0.9 if strong else 0.45,
        zorder=2,
    )
    if ending:
        place = [at for at, value in enumerate(y) if math.isfinite(value)][-1]
        panel.plot(
            [x[place]],
            [y[place]],
            linestyle="none",
            marker=end_mark(ending),
            markersize=6,
            color=style.color,
            zorder=2.5,
        )


def _draw_mean(panel: Axes, curves: list[dict[float, float]], style: Style, opacity: float) -> None:
    """Draw the mean over the epochs in which every curve has a finite value, and its band."""
    epochs = [
        epoch
        for epoch in sorted(curves[0])
        if all(math.isfinite(curve.get(epoch, math.nan)) for curve in curves)
    ]
    if not epochs:
        return
    values = {epoch: [curve[epoch] for curve in curves] for epoch in epochs}
    low = thin([(epoch, min(values[epoch])) for epoch in epochs], _MOST_OF_MEAN)
    high = thin([(epoch, max(values[epoch])) for epoch in epochs], _MOST_OF_MEAN)
    mean = thin([(e, math.fsum(values[e]) / len(curves)) for e in epochs], _MOST_OF_MEAN)
    outline = [*low, *reversed(high)]
    panel.fill(*zip(*outline, strict=True), color=style.color, alpha=opacity, linewidth=0, zorder=1)
    panel.plot(
        *zip(*mean, strict=True),
        color=style.color,
        linestyle=style.dash,
        linewidth=2,
        marker="none" if style.many else style.marker,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        markevery=_every(len(mean)),
        zorder=3,
    )


def _every(n: int) -> int:
    """Return the distance of the markers on a line of n points, about six in all."""
    return max(1, math.ceil(n / 6))
