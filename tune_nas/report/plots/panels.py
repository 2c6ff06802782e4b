"""The common look of the plots: size, axes, and a legend below the panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tune_nas.figures.palette import GRID, INK, QUIET
from tune_nas.report.labels import MetricName

WIDTH = 5.4
"""Width of a plot in inches; narrow, so that its text can be read on a phone."""
_LINE = 0.21  # inches per line of the legend
_CHARACTERS = 78  # of the legend's font in that width
_LONGEST = 58


def new_figure(height: float, legend: Sequence[Line2D] = ()) -> Figure:
    """Return an empty figure with a legend below the space for its panels.

    Args:
        height: Height of the panels in inches.
        legend: The entries, with their labels.
    """
    columns = _columns(legend)
    lines = -(-len(legend) // columns)
    figure = Figure(figsize=(WIDTH, height + _LINE * lines), layout="constrained")
    figure.patch.set_facecolor("white")
    if legend:
        figure.legend(
            handles=legend,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize=8,
            labelcolor=INK,
            handlelength=2.6,
            borderpad=0.1,
        )
    return figure


def style_axes(panel: Axes, x: str, y: str, *, grid: Literal["x", "y", "both"] = "y") -> None:
    """Label the axes of a panel and draw them as in all figures.

    Args:
        panel: The panel.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        grid: The axes with grid lines: ``x``, ``y`` or ``both``.
    """
    panel.set_xlabel(x, color=INK)
    panel.set_ylabel(y, color=INK)
    panel.grid(axis=grid, color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=QUIET, labelcolor=INK, which="both")
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)


def metric_label(name: MetricName) -> str:
    """Return the label of a metric's axis: ``train-valid gap [points]``."""
    return f"{name.words} [{name.unit.strip()}]" if name.unit else name.words


def format_counts(panel: Axes, *, x: bool) -> None:
    """Write the large numbers of an axis as ``12.5 k`` or ``3.4 M``."""
    axis = panel.xaxis if x else panel.yaxis
    axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _count_text(value)))


def _count_text(value: float) -> str:
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g} {sign}"
    return f"{value:g}"


def shortened(label: str, most: int = _LONGEST) -> str:
    """Return a label with its middle left out if it has more than ``most`` characters."""
    if len(label) <= most:
        return label
    half = (most - 1) // 2
    return f"{label[:half]}…{label[-half:]}"


def _columns(legend: Sequence[Line2D]) -> int:
    longest = max((len(str(line.get_label())) for line in legend), default=1)
    return max(1, min(4, len(legend) or 1, _CHARACTERS // (longest + 7)))
