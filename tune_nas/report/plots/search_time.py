"""Search time by level and order."""

from __future__ import annotations

import statistics

from tune_nas.figures.palette import INK, PALETTE, QUIET
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import SweptValue, axis_label, metric_name, order_key, value_label
from tune_nas.report.plots.panels import metric_label, new_figure, style_axes
from tune_nas.report.plots.point_plots import draw_points
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.series import Style
from tune_nas.report.plots.trial_groups import group_trials
from tune_nas.report.rows import metric_value

_AXES = ("update.level", "update.order")
_SECONDS = "seconds"


def times_by_update(comparison: Comparison) -> dict[tuple[SweptValue, ...], list[float]]:
    """Return the seconds of the searches that ran to their end, by level and order if swept."""
    axes = [axis for axis in _AXES if axis in comparison.axes]
    times: dict[tuple[SweptValue, ...], list[float]] = {}
    for group in group_trials(comparison):
        key = tuple(group.row.values[axis] for axis in axes)
        for trial in (*group.row.trials, *group.row.searched):
            seconds = metric_value(trial, _SECONDS)
            if seconds is not None:
                times.setdefault(key, []).append(seconds)
    return dict(sorted(times.items(), key=lambda item: [order_key(value) for value in item[0]]))


def plot_search_time(comparison: Comparison) -> ReportPlot | None:
    """Draw the search time by level and order (MiLeNAS, Fig. 2c); None if neither is swept."""
    axes = [axis for axis in _AXES if axis in comparison.axes]
    times = times_by_update(comparison)
    if not axes or not times:
        return None
    figure = new_figure(3.0)
    panel = figure.add_subplot()
    style = Style(PALETTE[0])
    labels = []
    for place, (key, seconds) in enumerate(times.items()):
        names = [f"{axis_label(a)} {value_label(v)}" for a, v in zip(axes, key, strict=True)]
        labels.append("\n".join([*names, f"n = {len(seconds)}"]))
        several = len(seconds) > 1
        aside = 0.14 if several else 0.0
        draw_points(panel, [(place + aside, value) for value in seconds], style, alpha=0.6)
        if several:
            mean, deviation = statistics.fmean(seconds), statistics.stdev(seconds)
            panel.errorbar(
                [place], [mean], yerr=[deviation], color=INK, marker="D", markersize=5, capsize=4
            )
            panel.annotate(
                f"{mean:.3g}",
                (place, mean),
                xytext=(-8, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                color=QUIET,
            )
    panel.set_xticks(range(len(labels)), labels)
    panel.set_xlim(-0.6, len(labels) - 0.4)
    panel.set_ylim(bottom=0)
    style_axes(panel, "", metric_label(metric_name(_SECONDS)))
    others = [axis_label(axis) for axis in comparison.axes if axis not in axes]
    over = f", over all values of {' and '.join(others)}" if others else ""
    caption = (
        f"Sum of the seconds of all epochs. A point is one search that ran to its end{over}; a "
        "diamond is the mean of the n searches, with their sample standard deviation. Searches "
        "that ran at the same time slow each other down. Follows MiLeNAS, Fig. 2c."
    )
    return ReportPlot("search-time", "Search time by level and order", caption, figure)
