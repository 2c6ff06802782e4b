"""The shapes in the drawing of a genotype's cells, in inches, for any library that draws."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from tune_nas.figures.cell_colors import END_LINE, NODE_FILL, NODE_LINE, OPERATIONS
from tune_nas.figures.cell_layout import BEND, NODE, OPERATION, OUTPUT, CellLayout, Vertex, lay_out
from tune_nas.spaces import CellGenotype, CellSpace, Genotype, Space, operation_kind

MARGIN = 0.2
"""Free space at the borders."""
HALF_HEIGHT = 0.15
"""Half the height of a box."""
_OPERATION_WIDTH, _NODE_WIDTH, _END_WIDTH = 1.16, 0.42, 0.66
_COLUMN_GAP, _TITLE = 0.34, 0.36

Point = tuple[float, float]


class Stroke(NamedTuple):
    """A line from left to right.

    Attributes:
        start: Left end.
        end: Right end.
        color: Color.
        dashed: Whether it is dashed.
        arrow: Whether the end has a head.
        curved: Whether it is a curve with horizontal ends, so that pieces of a route join smoothly.
    """

    start: Point
    end: Point
    color: str
    dashed: bool
    arrow: bool
    curved: bool


class Box(NamedTuple):
    """A labeled box of height 2 · `HALF_HEIGHT`.

    Attributes:
        center: Its center.
        width: Its width.
        rounding: Radius of its corners.
        fill: Color of its area.
        line: Color of its outline.
        label: The text in it; an index is written as in mathtext, e.g. ``$c_{k-1}$``.
    """

    center: Point
    width: float
    rounding: float
    fill: str
    line: str
    label: str


@dataclass(frozen=True)
class CellShapes:
    """The drawing of one cell; y = 0 is in the middle of its height and grows upwards.

    Args:
        title: The title, at the top left.
        height: Height of the drawing.
        strokes: The lines, from the back to the front.
        boxes: The boxes, in front of them.
    """

    title: str
    height: float
    strokes: tuple[Stroke, ...]
    boxes: tuple[Box, ...]


class _Column(NamedTuple):
    left: float
    right: float

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


def cell_shapes(genotype: Genotype, space: Space) -> tuple[float, list[CellShapes]]:
    """Return the width of the drawing of a genotype's cells, and each cell from top to bottom.

    Raises:
        GenotypeError: If the space does not contain the genotype.
    """
    genotype.check(space)
    right, shapes = 0.0, []
    for name, cell in genotype.cells.items():
        own = space.cells[name]
        edges = [(edge.source, edge.target) for edge in cell.edges]
        layout = lay_out(edges, own.n_inputs, own.nodes, output=own.output == "concat")
        columns = _columns(layout)
        right = max(right, columns[-1].right)
        title = f"{name} cell" if len(genotype.cells) > 1 else f"{genotype.space} cell"
        y = {vertex: height - _TITLE / 2 for vertex, height in layout.y.items()}
        shapes.append(
            CellShapes(
                title,
                2 * (max(abs(y) for y in layout.y.values()) + HALF_HEIGHT + MARGIN / 2) + _TITLE,
                tuple(_strokes(layout, columns, y, cell)),
                tuple(_boxes(columns, y, cell, own)),
            )
        )
    return right + MARGIN, shapes


def _columns(layout: CellLayout) -> list[_Column]:
    """Return each layer's column, as wide as its widest vertex, from left to right."""
    columns: list[_Column] = []
    right = MARGIN
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


def _strokes(
    layout: CellLayout, columns: list[_Column], y: dict[Vertex, float], cell: CellGenotype
) -> Iterator[Stroke]:
    for number, route in enumerate(layout.routes):
        kind = operation_kind(cell.edges[number].operation) if number < len(cell.edges) else "end"
        color, dashed = END_LINE if kind == "end" else OPERATIONS[kind][1], kind == "none"
        for left, right in pairwise(route):
            start = (_right(left, columns), y[left])
            end = (_left(right, columns), y[right])
            arrow = right[0] in (NODE, OUTPUT)
            yield Stroke(start, end, color, dashed, arrow, curved=True)
        for bend in route[1:-1]:
            if bend[0] == BEND:
                ends, height = columns[bend[2]], y[bend]
                across = ((ends.left, height), (ends.right, height))
                yield Stroke(*across, color, dashed, arrow=False, curved=False)


def _boxes(
    columns: list[_Column], y: dict[Vertex, float], cell: CellGenotype, space: CellSpace
) -> Iterator[Box]:
    for vertex, height in y.items():
        kind, number, layer = vertex
        center, width = (columns[layer].middle, height), _width(vertex)
        if kind == OPERATION:
            operation = cell.edges[number].operation
            colors = OPERATIONS[operation_kind(operation)]
            yield Box(center, width, 0.06, *colors, _operation_label(operation))
        elif kind != BEND:
            label = _node_label(kind, number, space)
            yield Box(center, width, HALF_HEIGHT, NODE_FILL, NODE_LINE, label)


def _right(vertex: Vertex, columns: list[_Column]) -> float:
    """Return where lines leave a vertex; a bend is straight across its whole column."""
    column = columns[vertex[2]]
    return column.right if vertex[0] == BEND else column.middle + _width(vertex) / 2


def _left(vertex: Vertex, columns: list[_Column]) -> float:
    column = columns[vertex[2]]
    return column.left if vertex[0] == BEND else column.middle - _width(vertex) / 2


def _operation_label(operation: str) -> str:
    return re.sub(r"(\d)x(\d)", r"\1×\2", operation.rpartition(":")[2].replace("_", " "))


def _node_label(kind: str, number: int, space: CellSpace) -> str:
    """Name the ends as in papers (the outputs of earlier cells), with our node numbers."""
    if kind == OUTPUT:
        return "$c_k$"
    before = space.n_inputs - number
    return f"{number}: $c_{{k-{before}}}$" if before > 0 else str(number)
