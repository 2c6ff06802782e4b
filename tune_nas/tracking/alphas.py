"""The history of α as a figure: a panel for each edge, a line for each operation."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from tune_nas.errors import StorageError
from tune_nas.tracking.figures import GRID, INK, PALETTE, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = ("epoch", "cell", "source", "target", "operation", "weight")
_PER_ROW = 5

Lines = dict[str, list[tuple[int, float]]]
Edge = tuple[str, int, int]


def plot_alphas(table: Path | str | bytes) -> Figure:
    """Draw how the operation weights (relaxed α) of each edge went over the epochs.

    Args:
        table: The α history ``alphas.csv`` of a search: a path, or the file's content as bytes.

    Raises:
        StorageError: If it cannot be read or is no α history.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    edges = _read(table)
    operations = list(dict.fromkeys(name for lines in edges.values() for name in lines))
    colour = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(operations)}
    cells = list(dict.fromkeys(cell for cell, _, _ in edges))
    rows = {cell: math.ceil(sum(edge[0] == cell for edge in edges) / _PER_ROW) for cell in cells}
    figure = Figure(figsize=(2.3 * _PER_ROW, 1.55 * sum(rows.values()) + 0.8), layout="constrained")
    figure.patch.set_facecolor("white")
    highest = max(
        weight for lines in edges.values() for line in lines.values() for _, weight in line
    )
    start = 0
    for cell in cells:
        for number, edge in enumerate(edge for edge in edges if edge[0] == cell):
            place = start * _PER_ROW + number + 1
            panel = figure.add_subplot(sum(rows.values()), _PER_ROW, place)
            for operation, line in edges[edge].items():
                panel.plot(*zip(*line, strict=True), color=colour[operation], linewidth=1.3)
            panel.set_title(f"{cell} {edge[1]} → {edge[2]}", fontsize=8, color=INK, pad=3)
            _style(panel, highest)
        start += rows[cell]
    handles = [Line2D([], [], color=colour[name], linewidth=2) for name in operations]
    figure.legend(
        handles, operations, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    return figure


def _style(panel: Axes, highest: float) -> None:
    panel.set_ylim(0, highest * 1.05)
    panel.grid(color=GRID, linewidth=0.6)
    panel.tick_params(colors=QUIET, labelsize=7)
    panel.xaxis.get_major_locator().set_params(integer=True, nbins=4)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)


def _read(table: Path | str | bytes) -> dict[Edge, Lines]:
    try:
        text = table.decode() if isinstance(table, bytes) else Path(table).read_text("utf-8")
        reader = csv.DictReader(io.StringIO(text))
        missing = set(_COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise StorageError(f"α history lacks the columns {', '.join(sorted(missing))}")
        edges: dict[Edge, Lines] = defaultdict(lambda: defaultdict(list))
        for line in reader:
            edge = (line["cell"], int(line["source"]), int(line["target"]))
            edges[edge][line["operation"]].append((int(line["epoch"]), float(line["weight"])))
    except StorageError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"α history cannot be read: {error}") from error
    if not edges:
        raise StorageError("α history has no line")
    return edges
