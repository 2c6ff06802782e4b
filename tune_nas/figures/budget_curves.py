"""The figure of simulated searches: regret against training epochs and against GPU hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tune_nas.candidates.curve_statistics import mean_regret
from tune_nas.candidates.search_curve import Cost, SearchCurve
from tune_nas.figures.palette import GRID, INK, PALETTE, QUIET

_POINTS = 60
_LOWEST = 0.01  # regret in points: the smallest on the logarithmic axis
_SECONDS = 3600
_DASHES = ("solid", "dashed", "dotted")
_AXES: Mapping[Cost, str] = {"epochs": "training epochs", "gpu_seconds": "simulated GPU hours"}


def plot_budget_curves(curves: Mapping[str, Sequence[SearchCurve]], title: str) -> Figure:
    """Draw the mean regret of the incumbents over the seeds, with bands of 95 % intervals.

    Both axes are logarithmic. A curve starts where all searches have an incumbent, and ends where
    the first of them ends; a regret below 0.01 points is drawn as 0.01.

    Args:
        curves: The searches by name.
        title: Title of the figure.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.patch.set_facecolor("white")
    for number, (axis, label) in enumerate(_AXES.items()):
        panel = figure.add_subplot(1, 2, number + 1)
        for place, (name, members) in enumerate(curves.items()):
            _draw(panel, members, axis, name, place)
        panel.set(xscale="log", yscale="log")
        panel.set_xlabel(label, color=INK)
        panel.grid(axis="y", color=GRID, linewidth=0.8)
        panel.set_axisbelow(True)
        panel.tick_params(colors=QUIET, labelcolor=INK, which="both")
        for side, spine in panel.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(QUIET)
    figure.axes[0].set_ylabel("regret of the incumbent [points]", color=INK)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.suptitle(title, color=INK, fontsize=11, x=0.01, ha="left")
    return figure


def _draw(panel: Axes, curves: Sequence[SearchCurve], axis: Cost, name: str, place: int) -> None:
    costs: list[Sequence[float]] = [getattr(curve, axis) for curve in curves]
    start, end = max(each[0] for each in costs), min(each[-1] for each in costs)
    scale = _SECONDS if axis == "gpu_seconds" else 1
    at = [float(cost) for cost in np.geomspace(start, max(start, end), _POINTS)]
    at[0], at[-1] = float(start), float(max(start, end))  # not short of them by rounding
    found = [mean_regret(curves, cost, axis) for cost in at]
    regrets = [each for each in found if each is not None]
    color = PALETTE[place % len(PALETTE)]
    x = [cost / scale for cost in at]
    panel.fill_between(
        x,
        [max(each.low, _LOWEST) for each in regrets],
        [max(each.high, _LOWEST) for each in regrets],
        color=color,
        alpha=0.18,
        linewidth=0,
    )
    panel.plot(
        x,
        [max(each.mean, _LOWEST) for each in regrets],
        color=color,
        linestyle=_DASHES[place // len(PALETTE) % len(_DASHES)],
        linewidth=1.4,
        label=name,
    )
