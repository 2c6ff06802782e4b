"""The figure of a sweep: metrics against the swept values, with every single trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tune_nas.figures.palette import INK, PALETTE
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import (
    BENCHMARK,
    RETRAIN,
    MetricName,
    SweptValue,
    axis_label,
    metric_name,
    order_key,
    value_label,
)
from tune_nas.report.plots.panels import WIDTH, metric_label, shortened, style_axes
from tune_nas.report.plots.trial_groups import TrialGroup, endings_text, group_trials
from tune_nas.report.plots.value_scale import LOGARITHMIC_FROM
from tune_nas.report.rows import Row, metric_value

_MOST_CATEGORIES = 12
_STACKED_HEIGHT = 2.6  # inches per panel
_LONGEST_LABEL = 33
_INCHES_PER_CHARACTER = 0.06  # of a rotated label
_MOST_CHARACTERS = 36  # of the labels of an axis, which are rotated if there are more
_OTHERS = ("gap", RETRAIN, BENCHMARK)


def plot_axis(report: Comparison, *, stacked: bool = False) -> Figure:
    """Draw a sweep: mean ± sample standard deviation, and each trial of each phase.

    A search is a dot; if some were repeated, a repeat is a square, and means are of repeats. A
    search that was stopped early, failed or diverged is a cross at its last value, not in a mean.
    Means of several trials are joined by a line if the values are numbers. If not all means are of
    equally many trials, n is written beside each.

    One swept key: a panel each for the ranked metric, the searches' accuracy, the gap, and the
    retraining and benchmark accuracies, as far as they are known. Two: the same, with a color for
    each value of the second if there are few of them. More: the ranked metric against each key.
    Values are equally spaced, by size with inf last; more than 12 different numbers are drawn on a
    numeric axis, logarithmic if the largest is at least 30 times the smallest.

    Args:
        report: The comparison.
        stacked: Draw the panels one below the other, without the title; see `axis_note`.

    Raises:
        ValueError: If no search can be ranked.
    """
    groups = group_trials(report) if report.ranking() else []
    if not groups:
        raise ValueError("the report has no search that can be ranked, so there is nothing to plot")
    rows = [group.row for group in groups]
    axes = report.axes or [""]
    few = _is_few(report, rows)
    if few:
        panels = [(axes[0], name) for name in _metrics(report, rows)]
    else:
        panels = [(axis, report.rank_by) for axis in axes]
    most = max(len(_categories(rows, axis)) for axis, _ in panels)
    if stacked:
        size = (WIDTH, _stacked_height([axis for axis, _ in panels], rows))
    else:
        width = max(4.2, 0.3 * most) * len(panels)
        height = 3.8 if most <= _MOST_CATEGORIES else 4.8  # their labels are vertical
        size = (max(width, 5.0), height)
    figure = Figure(figsize=size, layout="constrained")
    figure.patch.set_facecolor("white")
    shape = (len(panels), 1) if stacked else (1, len(panels))
    count = _common_count(groups) is None
    for number, (axis, name) in enumerate(panels):
        panel = figure.add_subplot(*shape, number + 1)
        series = _series(groups, axes[1] if few and len(axes) == 2 else None)
        _draw(panel, groups, axis, name, series, with_means=few, with_counts=count)
        if stacked and few and number < len(panels) - 1:  # the panels share the last axis
            panel.tick_params(labelbottom=False)
            panel.set_xlabel("")
    if not stacked:
        title = f"Sweep {report.sweep}: {axis_note(report)}"
        figure.suptitle(title, color=INK, fontsize=11, x=0.01, ha="left")
    return figure


def axis_note(report: Comparison) -> str:
    """Return a text that explains the marks of `plot_axis`."""
    groups = group_trials(report)
    rows = [group.row for group in groups]
    repeats = any(row.phase == "repeat" for row in rows)
    marks = "a dot is a search, a square a repeat" if repeats else "a dot is a trial"
    found = {ending for group in groups for ending in group.endings.values()}
    if found:
        marks += f", a cross one that ended otherwise ({endings_text(found)}), excluded from means"
    if not _is_few(report, rows):
        return marks
    n = _common_count(groups)
    return f"mean{'' if n is None else f' of n = {n}'} ± sample standard deviation; {marks}"


def _stacked_height(axes: Sequence[str], rows: list[Row]) -> float:
    """Return the height of stacked panels with the labels of their values, in inches."""
    height = _STACKED_HEIGHT * len(axes)
    for axis in dict.fromkeys(axes):
        labels = [_tick_label(value) for value in _categories(rows, axis)]
        if sum(map(len, labels)) > _MOST_CHARACTERS:
            height += _INCHES_PER_CHARACTER * max(map(len, labels))
    return height


def _tick_label(value: SweptValue) -> str:
    return shortened(value_label(value), _LONGEST_LABEL)


def _is_few(report: Comparison, rows: list[Row]) -> bool:
    axes = report.axes or [""]
    return len(axes) == 1 or (len(axes) == 2 and len(_values(rows, axes[1])) <= len(PALETTE))


def _common_count(groups: Sequence[TrialGroup]) -> int | None:
    """Return the n of all means; None if they differ, or if there is no mean."""
    statistics = (each for group in groups for each in group.row.statistics.values())
    counts = {statistic.n for statistic in statistics if statistic.n > 1}
    return counts.pop() if len(counts) == 1 else None


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


def _series(groups: Sequence[TrialGroup], axis: str | None) -> list[tuple[str, list[TrialGroup]]]:
    if axis is None:
        return [("", list(groups))]
    label = axis_label(axis)
    return [
        (
            f"{label} = {value_label(value)}",
            [group for group in groups if group.row.values[axis] == value],
        )
        for value in _values([group.row for group in groups], axis)
    ]


def _draw(
    panel: Axes,
    groups: Sequence[TrialGroup],
    axis: str,
    name: MetricName,
    series: list[tuple[str, list[TrialGroup]]],
    *,
    with_means: bool,
    with_counts: bool,
) -> None:
    rows = [group.row for group in groups]
    categories = _categories(rows, axis)
    if not categories:
        rows = [row for row in rows if row.values.get(axis) is not None]
    shown = {id(row) for row in rows}
    values = _values(rows, axis)
    place = _places(panel, values, categories)
    shift = 0.0 if place is None else min(0.16, 0.6 / len(series))
    for number, (label, members) in enumerate(series):
        placed = [group for group in members if id(group.row) in shown]
        known = [group.row for group in placed if name.key in group.row.statistics]
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
        for group in placed:
            _draw_ended(panel, _at(group.row.values.get(axis), place, offset), group, name, color)
        if with_means:
            in_order = all(order_key(value)[0] == 0 for value in values)
            _draw_means(panel, at, known, name, color, joined=in_order, count=with_counts)
        if label:
            panel.plot([], [], linestyle="none", marker="o", color=color, label=label)
    style_axes(panel, axis_label(axis) if axis else "", metric_label(name))
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


def _draw_ended(panel: Axes, x: float, group: TrialGroup, name: MetricName, color: str) -> None:
    """Draw the last values of searches that did not run to their end, as crosses."""
    ended = [trial for trial in group.others if trial.trial_id in group.endings]
    values = [metric_value(trial, name.key) for trial in ended]
    known = [value for value in values if value is not None]
    if known:
        panel.plot(
            [x] * len(known),
            known,
            linestyle="none",
            marker="x",
            markersize=5,
            color=color,
            alpha=0.8,
            zorder=2,
        )


def _draw_means(
    panel: Axes,
    at: list[float],
    rows: list[Row],
    name: MetricName,
    color: str,
    *,
    joined: bool,
    count: bool,
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
    for x, statistic in zip(at, statistics, strict=True):
        if count and statistic.n > 1:
            panel.annotate(
                f"n={statistic.n}",
                (x, statistic.mean),
                xytext=(-5, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=7,
                color=INK,
            )


def _places(
    panel: Axes, values: list[SweptValue], categories: list[SweptValue]
) -> dict[SweptValue, int] | None:
    """Space categories equally and return the position of each, or None for a numeric axis."""
    if not categories:
        numbers = [value for value in values if isinstance(value, int | float)]
        if min(numbers) > 0 and max(numbers) / min(numbers) >= LOGARITHMIC_FROM:
            panel.set_xscale("log")
        return None
    panel.set_xticks(range(len(values)), [_tick_label(value) for value in values])
    panel.set_xlim(-0.5, len(values) - 0.5)
    if sum(len(_tick_label(value)) for value in values) > _MOST_CHARACTERS:
        if len(values) > _MOST_CATEGORIES:
            panel.tick_params(axis="x", rotation=90)
        else:
            for label in panel.get_xticklabels():  # its end is below its tick
                label.set(rotation=30, ha="right", rotation_mode="anchor")
    return {value: place for place, value in enumerate(values)}


def _at(value: SweptValue, place: dict[SweptValue, int] | None, offset: float) -> float:
    if place is not None:
        return place[value] + offset
    assert isinstance(value, int | float)  # on a numeric axis, the others have been left out
    return float(value)
