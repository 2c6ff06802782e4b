"""The history of α as a figure: a small panel for each edge, a line for each operation."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tune_nas.errors import StorageError
from tune_nas.figures.palette import GRID, INK, PALETTE, QUIET

_COLUMNS = ("epoch", "cell", "source", "target", "operation", "weight")
_PER_ROW = 5
_WIDTH, _HEIGHT = 2.1, 1.25  # inches per panel, including margins
_LEFT, _BOTTOM, _INNER_WIDTH, _INNER_HEIGHT = 0.16, 0.12, 0.8, 0.66  # as fractions of a panel
_LEGEND = 0.75

Line = list[tuple[int, float]]
Edge = tuple[str, int, int]
History = dict[Edge, dict[str, Line]]


def plot_alphas(table: Path | str | bytes) -> Figure:
    """Plot the operation weights (relaxed α) of each edge over the epochs.

    All panels have the same scale: weights from 0 to the largest, epochs from first to last.

    Args:
        table: The α history ``alphas.csv`` of a search: a path, or the file's content as bytes.

    Raises:
        StorageError: If it cannot be read or is not an α history.
    """
    history = _read(table)
    operations = list(dict.fromkeys(name for lines in history.values() for name in lines))
    colors = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(operations)}
    place = _places(list(history))
    rows = 1 + max(row for row, _ in place.values())
    columns = 1 + max(column for _, column in place.values())
    # One set of axes for all panels: with one each, the figure of a DARTS search takes seconds.
    figure = Figure(figsize=(columns * _WIDTH, rows * _HEIGHT + _LEGEND))
    figure.patch.set_facecolor("white")
    share = rows * _HEIGHT / (rows * _HEIGHT + _LEGEND)
    axes = figure.add_axes((0, 1 - share, 1, share), xlim=(0, columns), ylim=(rows, 0))
    axes.axis("off")
    _draw(axes, history, place, colors)
    handles = [Line2D([], [], color=colors[name], linewidth=2) for name in operations]
    figure.legend(
        handles, operations, loc="lower center", ncols=min(4, columns), frameon=False, fontsize=8
    )
    return figure


def _places(edges: list[Edge]) -> dict[Edge, tuple[int, int]]:
    """Return row and column of each edge; each cell type starts a new row."""
    place: dict[Edge, tuple[int, int]] = {}
    start = 0
    for cell in dict.fromkeys(cell for cell, _, _ in edges):
        of_cell = [edge for edge in edges if edge[0] == cell]
        for number, edge in enumerate(of_cell):
            place[edge] = (start + number // _PER_ROW, number % _PER_ROW)
        start += math.ceil(len(of_cell) / _PER_ROW)
    return place


def _draw(
    axes: Axes,
    history: History,
    place: dict[Edge, tuple[int, int]],
    colors: dict[str, str],
) -> None:
    points = [point for lines in history.values() for line in lines.values() for point in line]
    first, last = min(epoch for epoch, _ in points), max(epoch for epoch, _ in points)
    highest = max((weight for _, weight in points if math.isfinite(weight)), default=1.0) or 1.0
    segments: dict[str, list[list[tuple[float, float]]]] = defaultdict(list)
    for edge, lines in history.items():
        row, column = place[edge]
        x0, y0 = column + _LEFT, row + 1 - _BOTTOM
        for operation, line in lines.items():
            segments[operation].append(
                [
                    (
                        x0 + _INNER_WIDTH * (epoch - first) / max(last - first, 1),
                        y0 - _INNER_HEIGHT * weight / highest,
                    )
                    for epoch, weight in line
                ]
            )
        axes.text(
            x0, row + 0.14, f"{edge[0]} {edge[1]} → {edge[2]}", fontsize=8, weight="bold", color=INK
        )
        _scale(axes, x0, y0, highest, (first, last))
    for operation, lines_of in segments.items():
        axes.add_collection(
            LineCollection(lines_of, colors=colors[operation], linewidths=1.3, zorder=2)
        )


def _scale(axes: Axes, x: float, y: float, highest: float, epochs: tuple[int, int]) -> None:
    top = y - _INNER_HEIGHT
    for height, label in ((y, "0"), (top, f"{highest:.2g}")):
        axes.plot([x, x + _INNER_WIDTH], [height, height], color=GRID, linewidth=0.8, zorder=1)
        axes.text(
            x - 0.02, height, label, fontsize=6.5, color=QUIET, ha="right", va="center_baseline"
        )
    for place, epoch, side in ((x, epochs[0], "left"), (x + _INNER_WIDTH, epochs[1], "right")):
        axes.text(place, y + 0.1, str(epoch), fontsize=6.5, color=QUIET, ha=side)


def _read(table: Path | str | bytes) -> History:
    try:
        text = table.decode() if isinstance(table, bytes) else Path(table).read_text("utf-8")
        reader = csv.DictReader(io.StringIO(text))
        missing = set(_COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise StorageError(f"α history lacks the columns {', '.join(sorted(missing))}")
        history: History = defaultdict(lambda: defaultdict(list))
        for line in reader:
            edge = (line["cell"], int(line["source"]), int(line["target"]))
            history[edge][line["operation"]].append((int(line["epoch"]), float(line["weight"])))
    except StorageError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"α history cannot be read: {error}") from error
    if not history:
        raise StorageError("α history has no line")
    return history
