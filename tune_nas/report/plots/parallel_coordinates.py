"""Parallel coordinates: a line for each search through its swept values to its result."""

from __future__ import annotations

import math
import textwrap

from matplotlib.axes import Axes

from tune_nas.figures.palette import GRID, INK, QUIET, sequential_color
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import axis_label, normalize
from tune_nas.report.plots.panels import WIDTH, metric_label, new_figure, shortened
from tune_nas.report.plots.point_plots import finite_metric, search_metric
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.trial_groups import endings_text, group_trials
from tune_nas.report.plots.value_scale import MISSING, scale_of
from tune_nas.report.results import TrialResult

_FEWEST = 3
_INCHES_PER_KEY = 1.1
_LONGEST = 16
_SPREAD = 0.012  # between lines through the same category
_MOST_TICKS = 14


def plot_parallel_coordinates(comparison: Comparison, note: str = "") -> ReportPlot | None:
    """Draw a line for each search through its values; None for one key or fewer than 3 searches.

    Args:
        comparison: The comparison.
        note: A sentence to add to the caption.
    """
    name, mode = search_metric(comparison)
    groups = group_trials(comparison)
    trials = [trial for group in groups for trial in group.trials]
    ending = {k: v for group in groups for k, v in group.endings.items()}
    lost = {k for k, v in ending.items() if v != "stopped early"}
    results = {
        trial.trial_id: math.nan if trial.trial_id in lost else finite_metric(trial, name.key)
        for trial in trials
    }
    known = sorted(value for value in results.values() if math.isfinite(value))
    if len(comparison.axes) < 2 or len(known) < _FEWEST:
        return None
    figure = new_figure(3.6)
    figure.set_figwidth(max(WIDTH, _INCHES_PER_KEY * (len(comparison.axes) + 1)))
    panel = figure.add_subplot()
    values = {
        axis: {trial.trial_id: normalize(trial.parameters.get(axis)) for trial in trials}
        for axis in comparison.axes
    }
    scales = {axis: scale_of(of_axis.values()) for axis, of_axis in values.items()}
    for number, axis in enumerate(comparison.axes):
        ticks = scales[axis].ticks()
        if None in values[axis].values():
            ticks = [(MISSING, "not set"), *ticks]
        _draw_scale(panel, number, axis_label(axis), ticks)
    low, high = known[0], known[-1]
    ends = [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")] if high > low else [(0.5, f"{low:.4g}")]
    if any(math.isnan(value) for value in results.values()):
        ends.insert(0, (MISSING, "no value"))
    _draw_scale(panel, len(scales), metric_label(name), ends)
    for number, trial in enumerate(trials):
        result = results[trial.trial_id]
        share = (result - low) / (high - low) if high > low else 0.5
        aside = _SPREAD * (number % 5 - 2)
        heights = [
            scales[axis].position(values[axis][trial.trial_id])
            + (0.0 if scales[axis].numeric else aside)
            for axis in comparison.axes
        ]
        quality = share if mode == "max" else 1 - share
        _draw_line(
            panel,
            [*heights, share if math.isfinite(result) else MISSING],
            QUIET if math.isnan(result) else sequential_color(1 - quality),
            "solid" if trial.trial_id not in ending else (0, (4, 2)),
        )
    panel.set_xlim(-0.35, len(scales) + 0.35)
    panel.set_ylim(-0.2, 1.06)
    panel.axis("off")
    return ReportPlot(
        "parallel-coordinates", "Values and results", _caption(trials, ending, note), figure
    )


def _caption(trials: list[TrialResult], ending: dict[str, str], note: str) -> str:
    sentences = [
        f"A line is one of the {len(trials)} searches. Its color is its result, from blue (best) "
        "to yellow (worst). Lines through the same category are spread a little."
    ]
    if ending:
        kinds = endings_text(ending.values())
        last = "; a search that was stopped early has its last value" if "stopped" in kinds else ""
        sentences.append(f"Dashed lines are searches marked as {kinds}{last}.")
    return " ".join([*sentences, note] if note else sentences)


def _draw_scale(panel: Axes, place: int, title: str, ticks: list[tuple[float, str]]) -> None:
    panel.plot([place, place], [0, 1], color=GRID, linewidth=1.6, zorder=1)
    panel.text(
        place,
        1.07,
        "\n".join(textwrap.wrap(title, _LONGEST)),
        ha="center",
        va="bottom",
        fontsize=8.5,
        color=INK,
    )
    step = math.ceil(len(ticks) / _MOST_TICKS)
    for height, label in ticks[::step]:
        panel.text(
            place,
            height,
            shortened(label, _LONGEST),
            ha="center",
            va="center",
            fontsize=7.5,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2},
            zorder=4,
        )


def _draw_line(
    panel: Axes, heights: list[float], color: str, dash: str | tuple[int, tuple[int, int]]
) -> None:
    panel.plot(
        range(len(heights)),
        heights,
        color=color,
        linestyle=dash,
        linewidth=1.2,
        alpha=0.75,
        zorder=2,
    )
