"""The figure of a sweep: metrics against the swept values, with every single trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tune_nas.figures.palette import GRID, INK, PALETTE, QUIET
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import (
    RETRAIN,
    MetricName,
    SweptValue,
    axis_label,
    metric_name,
    order_key,
    value_label,
)
from tune_nas.report.rows import Row, metric_value

_MOST_CATEGORIES = 12
_OTHERS = ("gap", RETRAIN, "benchmark/cifar10_test")


def plot_axis(report: Comparison) -> Figure:
    """Draw a sweep: mean ± sample standard deviation, and each trial that ran to its end.

    A search is a dot; if some were repeated, a repeat is a square, and means are of repeats.
    Means of several trials are joined by a line if the values are numbers.

    One swept key: a panel each for the ranked metric, the searches' accuracy, the gap, and the
    retraining and benchmark accuracies, as far as they are known. Two: the same, with a color for
    each value of the second if there are few of them. More: the ranked metric against each key.
    Values are equally spaced, by size with inf last; more than 12 different numbers are drawn on a
    numeric axis, logarithmic if they span two decades.

    Raises:
        ValueError: If no trial can be ranked.
    """
    rows = [*report.ranking(), *report.not_repeated()]
    if not rows:
        raise ValueError("the report has no trial that can be ranked, so there is nothing to plot")
    axes = report.axes or [""]
    few = len(axes) == 1 or (len(axes) == 2 and len(_values(rows, axes[1])) <= len(PALETTE))
    if few:
        panels = [(axes[0], name) for name in _metrics(report, rows)]
    else:
        panels = [(axis, report.rank_by) for axis in axes]
    most = max(len(_categories(rows, axis)) for axis, _ in panels)
    width = max(4.2, 0.3 * most) * len(panels)
    height = 3.8 if most <= _MOST_CATEGORIES else 4.8  # their labels are vertical
    figure = Figure(figsize=(max(width, 5.0), height), layout="constrained")
    figure.patch.set_facecolor("white")
    for number, (axis, name) in enumerate(panels):
        panel = figure.add_subplot(1, len(panels), number + 1)
        series = _series(rows, axes[1] if few and len(axes) == 2 else None)
        _draw(panel, rows, axis, name, series, with_means=few)
    repeats = any(row.phase == "repeat" for row in rows)
    marks = "a dot is a search, a square a repeat" if repeats else "a dot is a trial"
    note = f"mean ± sample standard deviation; {marks}" if few else marks
    figure.suptitle(f"Sweep {report.sweep}: {note}", color=INK, fontsize=11, x=0.01, ha="left")
    return figure


def _metrics(report: Comparison, rows: list[Row]) -> list[MetricName]:
    others = [report.valid_accuracy, *map(metric_name, _OTHERS)]
    names = [report.rank_by, *(name for name in others if name.key != report.rank_by.key)]
    return [name for name in names if any(name.key in row.statistics for row in rows)]


def _categories(rows: Sequence[Row], axis: str) -> list[SweptValue]:
    """Return the values to be equally spaced, each with its label; none on a numeric axis.

    On a numeric axis, rows without a value of the key are left out.
    """
    values = _values(rows, axis)
    present = [value for value in values if value is not None]
    numeric = all(isinstance(value, int | float) and math.isfinite(value) for value in present)
    return [] if numeric and len(present) > _MOST_CATEGORIES else values


def _values(rows: Sequence[Row], axis: str) -> list[SweptValue]:
    """Return the distinct values of a swept key, in order."""
    return sorted({row.values.get(axis) for row in rows}, key=order_key)


def _series(rows: Sequence[Row], axis: str | None) -> list[tuple[str, list[Row]]]:
    if axis is None:
        return [("", list(rows))]
    label = axis_label(axis)
    return [
        (f"{label} = {value_label(value)}", [row for row in rows if row.values[axis] == value])
        for value in _values(rows, axis)
    ]


def _draw(
    panel: Axes,
    rows: Sequence[Row],
    axis: str,
    name: MetricName,
    series: list[tuple[str, list[Row]]],
    *,
    with_means: bool,
) -> None:
    categories = _categories(rows, axis)
    if not categories:
        rows = [row for row in rows if row.values.get(axis) is not None]
    values = _values(rows, axis)
    place = _places(panel, values, categories)
    shift = 0.0 if place is None else min(0.16, 0.6 / len(series))
    for number, (label, members) in enumerate(series):
        known = [row for row in members if row in rows and name.key in row.statistics]
        known.sort(key=lambda row: order_key(row.values.get(axis)))
        offset = (number - (len(series) - 1) / 2) * shift
        at = [_at(row.values.get(axis), place, offset) for row in known]
        color = PALETTE[number % len(PALETTE)]
        # Next to the bar of the standard deviation, which would hide them.
        beside = 0.0
        if place is not None and with_means:
            beside = 0.2 if len(series) == 1 else 0.35 * shift
        for x, row in zip(at, known, strict=True):
            aside = beside if row.statistics[name.key].n > 1 else 0.0
            _draw_trials(panel, x + aside, row, name, color, faint=with_means)
        if with_means:
            in_order = all(order_key(value)[0] == 0 for value in values)
            _draw_means(panel, at, known, name, color, joined=in_order)
        if label:
            panel.plot([], [], linestyle="none", marker="o", color=color, label=label)
    panel.set_xlabel(axis_label(axis) if axis else "", color=INK)
    panel.set_ylabel(f"{name.words}{f' [{name.unit.strip()}]' if name.unit else ''}", color=INK)
    panel.grid(axis="y", color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=QUIET, labelcolor=INK)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)
    if len(series) > 1:
        panel.legend(frameon=False, fontsize=8, labelcolor=INK)


def _draw_trials(
    panel: Axes, x: float, row: Row, name: MetricName, color: str, *, faint: bool
) -> None:
    """Draw a row's trials: searches as dots, repeats as squares."""
    own = list(row.statistics[name.key].values)
    repeated = row.phase == "repeat" and name.key != RETRAIN
    searched = [metric_value(trial, name.key) for trial in row.searched] if repeated else []
    before = [value for value in searched if value is not None]
    for values, marker in ((own, "s" if repeated else "o"), (before, "o")):
        if not values:
            continue
        panel.plot(
            [x] * len(values),
            values,
            linestyle="none",
            marker=marker,
            markersize=4.5,
            markerfacecolor=color,
            markeredgecolor="white",
            markeredgewidth=0.5,
            alpha=0.55 if faint and len(own) > 1 else 0.8,
            zorder=2,
        )


def _draw_means(
    panel: Axes, at: list[float], rows: list[Row], name: MetricName, color: str, *, joined: bool
) -> None:
    """Draw means of several trials with their deviations, joined if the values have an order.

    A single trial is not a mean: it interrupts the line.
    """
    statistics = [row.statistics[name.key] for row in rows]
    if all(statistic.n == 1 for statistic in statistics):
        return
    panel.errorbar(
        at,
        [statistic.mean if statistic.n > 1 else math.nan for statistic in statistics],
        yerr=[statistic.std or 0.0 for statistic in statistics],
        color=color,
        linestyle="solid" if joined else "none",
        linewidth=1.1,
        elinewidth=1.4,
        capsize=4,
        marker="D",
        markersize=5.5,
        zorder=3,
    )


def _places(
    panel: Axes, values: list[SweptValue], categories: list[SweptValue]
) -> dict[SweptValue, int] | None:
    """Space categories equally and return the position of each, or None for a numeric axis."""
    if not categories:
        numbers = [value for value in values if isinstance(value, int | float)]
        if min(numbers) > 0 and max(numbers) / min(numbers) >= 100:
            panel.set_xscale("log")
        return None
    panel.set_xticks(range(len(values)), [value_label(value) for value in values])
    panel.set_xlim(-0.5, len(values) - 0.5)
    if sum(len(value_label(value)) for value in values) > 36:
        panel.tick_params(axis="x", rotation=30 if len(values) <= _MOST_CATEGORIES else 90)
    return {value: place for place, value in enumerate(values)}


def _at(value: SweptValue, place: dict[SweptValue, int] | None, offset: float) -> float:
    if place is not None:
        return place[value] + offset
    assert isinstance(value, int | float)  # on a numeric axis, the others have been left out
    return float(value)
