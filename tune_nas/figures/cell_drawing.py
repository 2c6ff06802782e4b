"""Cells as figures: nodes and labeled operations, left to right, without a graphviz binary."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from tune_nas.figures.cell_shapes import HALF_HEIGHT, MARGIN, Box, Stroke, cell_shapes
from tune_nas.figures.palette import INK
from tune_nas.spaces import Genotype, Space

_DASHES = (0, (3, 2))  # offset, lengths of dash and gap


def draw_cells(genotype: Genotype, space: Space) -> Figure:
    """Draw the cells of a genotype, one below the other.

    Circles are the cell's nodes, colored boxes the operations on its edges: blue convolutions,
    orange pools, green skips; gray is ``none``. Gray lines lead to the concatenated output.

    Raises:
        GenotypeError: If the space does not contain the genotype.
    """
    width, cells = cell_shapes(genotype, space)
    total = sum(cell.height for cell in cells)
    figure = Figure(figsize=(width, total))
    figure.patch.set_facecolor("white")
    top = total
    for cell in cells:
        top -= cell.height
        axes = figure.add_axes((0, top / total, 1, cell.height / total))
        axes.set_xlim(0, width)
        middle = cell.height / 2
        axes.set_ylim(-middle, middle)
        axes.axis("off")
        place = (MARGIN, middle - 0.12)
        axes.text(*place, cell.title, va="top", fontsize=10.5, weight="bold", color=INK)
        for stroke in cell.strokes:
            if stroke.curved:
                _curve(axes, stroke)
            else:
                _line(axes, stroke)
        for box in cell.boxes:
            _box(axes, box)
    return figure


def _curve(axes: Axes, stroke: Stroke) -> None:
    start, end = stroke.start, stroke.end
    middle = (start[0] + end[0]) / 2
    path = Path(
        [start, (middle, start[1]), (middle, end[1]), end],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    axes.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle="-|>" if stroke.arrow else "-",
            mutation_scale=9,
            linewidth=1.2,
            shrinkA=0,
            shrinkB=0,
            zorder=1,
            color=stroke.color,
            linestyle=_DASHES if stroke.dashed else "solid",
        )
    )


def _line(axes: Axes, stroke: Stroke) -> None:
    axes.plot(
        [stroke.start[0], stroke.end[0]],
        [stroke.start[1], stroke.end[1]],
        linewidth=1.2,
        zorder=1,
        color=stroke.color,
        linestyle=_DASHES if stroke.dashed else "solid",
    )


def _box(axes: Axes, box: Box) -> None:
    x, y = box.center
    axes.add_patch(
        FancyBboxPatch(
            (x - box.width / 2, y - HALF_HEIGHT),
            box.width,
            2 * HALF_HEIGHT,
            boxstyle=f"round,pad=0,rounding_size={box.rounding}",
            facecolor=box.fill,
            edgecolor=box.line,
            linewidth=1.1,
            zorder=3,
        )
    )
    axes.text(x, y, box.label, ha="center", va="center_baseline", fontsize=8.5, color=INK, zorder=4)
