"""The drawing of a genotype's cells as SVG text, a hundred times faster than with matplotlib.

A sweep has a drawing for each trial; with matplotlib, they took longer than everything else that
its driver does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from tune_nas.figures.cell_shapes import HALF_HEIGHT, MARGIN, Box, CellShapes, Stroke, cell_shapes
from tune_nas.figures.palette import INK
from tune_nas.spaces import Genotype, Space

_POINTS = 72
"""Units of an inch."""
_HEAD, _HALF_HEAD = 5.0, 2.4  # length and half the width of an arrow's head
_INDEXED = re.compile(r"\$(\w)_\{?([^}$]+)\}?\$")


def cells_svg(genotype: Genotype, space: Space) -> bytes:
    """Return the picture of `draw_cells` as the bytes of an SVG file.

    Raises:
        GenotypeError: If the space does not contain the genotype.
    """
    width, cells = cell_shapes(genotype, space)
    total = sum(cell.height for cell in cells)
    size = f"{_number(width * _POINTS)} {_number(total * _POINTS)}"
    w, h = size.split()
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}pt" height="{h}pt" '
        f'viewBox="0 0 {size}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="8.5">',
        f'<rect width="{w}" height="{h}" fill="#ffffff"/>',
    ]
    top = 0.0
    for cell in cells:
        lines.append(f'<g transform="translate(0 {_number((top + cell.height / 2) * _POINTS)})">')
        lines += _of_cell(cell)
        lines.append("</g>")
        top += cell.height
    return "\n".join([*lines, "</svg>\n"]).encode()


def _of_cell(cell: CellShapes) -> Iterator[str]:
    x, y = _at((MARGIN, cell.height / 2 - 0.23))
    style = f'fill="{INK}" font-size="10.5" font-weight="bold"'
    yield f'<text x="{x}" y="{y}" {style}>{escape(cell.title)}</text>'
    for stroke in cell.strokes:
        yield from _stroke(stroke)
    for box in cell.boxes:
        yield from _box(box)


def _stroke(stroke: Stroke) -> Iterator[str]:
    (x, y), (right, end) = _at(stroke.start), _at(stroke.end)
    tip = right
    if stroke.arrow:  # the line ends inside of the head
        right = _number(float(right) - _HEAD / 2)
    middle = _number((float(x) + float(tip)) / 2)
    way = f"C{middle} {y} {middle} {end} {right} {end}" if stroke.curved else f"L{right} {end}"
    dashes = ' stroke-dasharray="3.6 2.4"' if stroke.dashed else ""
    style = f'fill="none" stroke="{stroke.color}" stroke-width="1.2"{dashes}'
    yield f'<path d="M{x} {y}{way}" {style}/>'
    if stroke.arrow:
        back, upper, lower = (
            _number(float(tip) - _HEAD),
            *(_number(float(end) + s * _HALF_HEAD) for s in (1, -1)),
        )
        yield f'<path d="M{tip} {end}L{back} {upper}L{back} {lower}Z" fill="{stroke.color}"/>'


def _box(box: Box) -> Iterator[str]:
    x, y = box.center
    left, top = _at((x - box.width / 2, y + HALF_HEIGHT))
    size = (box.width, 2 * HALF_HEIGHT, box.rounding)
    width, height, rounding = (_number(value * _POINTS) for value in size)
    yield (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="{rounding}" '
        f'fill="{box.fill}" stroke="{box.line}" stroke-width="1.1"/>'
    )
    middle, baseline = _at((x, y - 0.042))
    yield (
        f'<text x="{middle}" y="{baseline}" text-anchor="middle" fill="{INK}">'
        f"{_label(box.label)}</text>"
    )


def _label(text: str) -> str:
    """Return a label with its index below the line."""
    index = r'<tspan font-style="italic">\1<tspan dy="1.8" font-size="6">\2</tspan></tspan>'
    return _INDEXED.sub(index, escape(text)).replace("k-", "k−")


def _at(point: tuple[float, float]) -> tuple[str, str]:
    """Return a point in the units of the file, in which y grows downwards."""
    return _number(point[0] * _POINTS), _number(-point[1] * _POINTS)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
