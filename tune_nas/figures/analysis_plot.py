"""The figure of an analysis: the axes that its table names, in panels, colored by series."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tune_nas.analysis_table import AnalysisTable, TableAxes, Value
from tune_nas.figures.palette import GRID, INK, PALETTE, QUIET

_PER_ROW = 2
_WIDTH, _HEIGHT = 4.6, 2.9
_TURNED = 4  # more labels than these are turned

Points = list[tuple[float, float]]


def plot_analysis(table: AnalysisTable) -> Figure:
    """Plot an analysis: a panel for each value of its panel columns, a color for each series.

    Panels without a finite value are left out; rows without a name of a panel are its `others`.
    Values with equal x, e.g. of several edges in an epoch, are averaged if points are connected,
    unless the points are epochs.

    Raises:
        ValueError: If the table has no finite value.
    """
    axes = table.axes
    x, y = table.column(axes.x), table.column(axes.y)
    panels = list(zip(*(table.column(name) for name in axes.panels), strict=True))
    panels = panels or [()] * len(x)
    series = table.column(axes.series) if axes.series else [""] * len(x)
    drawn = [isinstance(value, int | float) and math.isfinite(value) for value in y]
    if not any(drawn):
        raise ValueError(f"column {axes.y} of the analysis '{table.kind}' has no number")
    names = list(dict.fromkeys(series))
    of_panels = list(dict.fromkeys(panel for panel, has in zip(panels, drawn, strict=True) if has))
    columns = min(_PER_ROW, len(of_panels))
    rows = math.ceil(len(of_panels) / columns)
    figure = Figure(figsize=(columns * _WIDTH, rows * _HEIGHT + 0.6), layout="constrained")
    figure.patch.set_facecolor("white")
    for number, panel in enumerate(of_panels):
        axis = figure.add_subplot(rows, columns, number + 1)
        own = [at for at, each in enumerate(panels) if each == panel]
        places = _places([x[at] for at in own])
        for color, name in enumerate(names):
            points = [
                (places[x[at]], float(y[at]))
                for at in own
                if series[at] == name and isinstance(y[at], int | float)
            ]
            _draw(axis, points, str(name), PALETTE[color % len(PALETTE)], axes)
        title = " ".join(map(str, panel)) or ("others" if len(of_panels) > 1 else "")
        _style(axis, title, axes.x, axes.y)
        if all(isinstance(x[at], int) for at in own):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if any(isinstance(x[at], str) for at in own):
            axis.set_xticks(list(places.values()), [str(place) for place in places])
            if len(places) > _TURNED:
                axis.tick_params(axis="x", labelrotation=60)
    if axes.series:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8
        )
    return figure


def _places(values: Sequence[Value]) -> dict[Value, float]:
    """Return the place of each value on the horizontal axis: its number, or its order if text."""
    different = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in different):
        return {value: float(value) for value in different}
    return {value: float(place) for place, value in enumerate(different)}


def _draw(axis: Axes, points: Points, label: str, color: str, axes: TableAxes) -> None:
    finite = [point for point in points if all(map(math.isfinite, point))]
    if axes.connected and not axes.own_epochs:
        finite = _averaged(finite)
    axis.plot(
        [point[0] for point in finite],
        [point[1] for point in finite],
        color=color,
        marker="o",
        markersize=3.5,
        linewidth=1.3 if axes.connected else 0,
        label=label,
    )


def _averaged(points: Points) -> Points:
    by_x: dict[float, list[float]] = {}
    for x, y in points:
        by_x.setdefault(x, []).append(y)
    return [(x, sum(of) / len(of)) for x, of in by_x.items()]


def _style(axis: Axes, title: str, x: str, y: str) -> None:
    if title:
        axis.set_title(title, fontsize=9, color=INK, loc="left")
    axis.set_xlabel(x, color=INK, fontsize=8)
    axis.set_ylabel(y, color=INK, fontsize=8)
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=QUIET, labelcolor=INK, labelsize=7)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)
