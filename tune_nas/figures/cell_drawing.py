"""Cells as figures: nodes and labeled operations, left to right, without a graphviz binary."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from tune_nas.figures.cell_colors import END_LINE, NODE_FILL, NODE_LINE, OPERATIONS
from tune_nas.figures.cell_layout import BEND, NODE, OPERATION, OUTPUT, CellLayout, Vertex, lay_out
from tune_nas.figures.palette import INK
from tune_nas.spaces import CellGenotype, CellSpace, Genotype, Space, operation_kind

_OPERATION_WIDTH, _NODE_WIDTH, _END_WIDTH = 1.16, 0.42, 0.66
_COLUMN_GAP, _MARGIN, _TITLE = 0.34, 0.2, 0.36
_HALF_HEIGHT = 0.15
_DASHES = (0, (3, 2))  # offset, lengths of dash and gap

Point = tuple[float, float]


class _Stroke(NamedTuple):
    color: str
    style: str | tuple[int, tuple[int, int]]


class _Column(NamedTuple):
    left: float
    right: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


def draw_cells(genotype: Genotype, space: Space) -> Figure:
    """Draw the cells of a genotype, one below the other.

    Circles are the cell's nodes, colored boxes the operations on its edges: blue convolutions,
    orange pools, green skips; gray is ``none``. Gray lines lead to the concatenated output.

    Raises:
        GenotypeError: If the space does not contain the genotype.
    """
    genotype.check(space)
    layouts = {
        name: lay_out(
            [(edge.source, edge.target) for edge in cell.edges],
            space.cells[name].n_inputs,
            space.cells[name].nodes,
            output=space.cells[name].output == "concat",
        )
        for name, cell in genotype.cells.items()
    }
    columns = {name: _columns(layout) for name, layout in layouts.items()}
    width = max(column[-1].right for column in columns.values()) + _MARGIN
    heights = {name: _height(layout) for name, layout in layouts.items()}
    total = sum(heights.values())
    figure = Figure(figsize=(width, total))
    figure.patch.set_facecolor("white")
    top = total
    for name, layout in layouts.items():
        top -= heights[name]
        axes = figure.add_axes((0, top / total, 1, heights[name] / total))
        axes.set_xlim(0, width)
        middle = heights[name] / 2
        axes.set_ylim(-middle, middle)
        axes.axis("off")
        title = f"{name} cell" if len(layouts) > 1 else f"{genotype.space} cell"
        axes.text(_MARGIN, middle - 0.12, title, va="top", fontsize=10.5, weight="bold", color=INK)
        _draw(axes, layout, columns[name], genotype.cells[name], space.cells[name])
    return figure


def _height(layout: CellLayout) -> float:
    return 2 * (max(abs(y) for y in layout.y.values()) + _HALF_HEIGHT + _MARGIN / 2) + _TITLE


def _columns(layout: CellLayout) -> list[_Column]:
    """Return each layer's column, as wide as its widest vertex, from left to right."""
    columns: list[_Column] = []
    right = _MARGIN
    for layer in layout.layers:
        width = max(_width(vertex) for vertex in layer)
        columns.append(_Column(right, right + width))
        right += width + _COLUMN_GAP
    return columns


def _width(vertex: Vertex) -> float:
    kind, _, layer = vertex
    if kind == OUTPUT or (kind == NODE and layer == 0):
        return _END_WIDTH
    return {NODE: _NODE_WIDTH, OPERATION: _OPERATION_WIDTH}.get(kind, 0.0)


def _draw(
    axes: Axes,
    layout: CellLayout,
    columns: list[_Column],
    cell: CellGenotype,
    space: CellSpace,
) -> None:
    y = {vertex: height - _TITLE / 2 for vertex, height in layout.y.items()}
    for number, route in enumerate(layout.routes):
        kind = operation_kind(cell.edges[number].operation) if number < len(cell.edges) else "end"
        color = END_LINE if kind == "end" else OPERATIONS[kind][1]
        stroke = _Stroke(color, _DASHES if kind == "none" else "solid")
        for left, right in pairwise(route):
            start = (_right(left, columns), y[left])
            end = (_left(right, columns), y[right])
            _curve(axes, start, end, stroke, arrow=right[0] in (NODE, OUTPUT))
        for bend in route[1:-1]:
            if bend[0] == BEND:
                ends = columns[bend[2]]
                axes.plot(
                    [ends.left, ends.right],
                    [y[bend]] * 2,
                    linewidth=1.2,
                    zorder=1,
                    color=stroke.color,
                    linestyle=stroke.style,
                )
    for vertex, height in y.items():
        kind, number, layer = vertex
        if kind == OPERATION:
            operation = cell.edges[number].operation
            fill, line = OPERATIONS[operation_kind(operation)]
            _box(axes, columns[layer], height, vertex, fill, line, _operation_label(operation))
        elif kind != BEND:
            label = _node_label(kind, number, space)
            _box(axes, columns[layer], height, vertex, NODE_FILL, NODE_LINE, label)


def _right(vertex: Vertex, columns: list[_Column]) -> float:
    """Return where lines leave a vertex; a bend is straight across its whole column."""
    column = columns[vertex[2]]
    return column.right if vertex[0] == BEND else column.middle + _width(vertex) / 2


def _left(vertex: Vertex, columns: list[_Column]) -> float:
    column = columns[vertex[2]]
    return column.left if vertex[0] == BEND else column.middle - _width(vertex) / 2


def _curve(axes: Axes, start: Point, end: Point, stroke: _Stroke, *, arrow: bool) -> None:
    """Draw a curve with horizontal ends, so that the pieces of a route join smoothly."""
    middle = (start[0] + end[0]) / 2
    path = Path(
        [start, (middle, start[1]), (middle, end[1]), end],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    axes.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle="-|>" if arrow else "-",
            mutation_scale=9,
            linewidth=1.2,
            shrinkA=0,
            shrinkB=0,
            zorder=1,
            color=stroke.color,
            linestyle=stroke.style,
        )
    )


def _box(
    axes: Axes, column: _Column, y: float, vertex: Vertex, fill: str, line: str, label: str
) -> None:
    width = _width(vertex)
    rounding = 0.06 if vertex[0] == OPERATION else _HALF_HEIGHT
    axes.add_patch(
        FancyBboxPatch(
            (column.middle - width / 2, y - _HALF_HEIGHT),
            width,
            2 * _HALF_HEIGHT,
            boxstyle=f"round,pad=0,rounding_size={rounding}",
            facecolor=fill,
            edgecolor=line,
            linewidth=1.1,
            zorder=3,
        )
    )
    place = (column.middle, y)
    axes.text(*place, label, ha="center", va="center_baseline", fontsize=8.5, color=INK, zorder=4)


def _operation_label(operation: str) -> str:
    return re.sub(r"(\d)x(\d)", r"\1×\2", operation.rpartition(":")[2].replace("_", " "))


def _node_label(kind: str, number: int, space: CellSpace) -> str:
    """Name the ends as in papers (the outputs of earlier cells), with our node numbers."""
    if kind == OUTPUT:
        return "$c_k$"
    before = space.n_inputs - number
    return f"{number}: $c_{{k-{before}}}$" if before > 0 else str(number)
