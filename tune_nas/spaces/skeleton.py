"""The stack of cells of a layout: cell types and channels by position.

Sources: quark0/darts ``cnn/model.py`` (layout ``thirds``) and D-X-Y/AutoDL-Projects
``cell_infers/tiny_network.py`` (layout ``stages``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """One position in the stack.

    Args:
        cell: The cell type there; None for a residual reduction block.
        channels: Channels of each of its nodes.
        reduction: Whether it halves the map.
    """

    cell: str | None
    channels: int
    reduction: bool


def plan(layout: str, init_channels: int, cells: int) -> list[Position]:
    """Return the stack of a layout, with the channels doubled at each reduction.

    ``thirds``: reductions are the cells cells // 3 and 2 · cells // 3 (0-based).
    """
    if layout == "stages":
        stack: list[Position] = []
        for stage in range(3):
            channels = init_channels * 2**stage
            if stage:
                stack.append(Position(None, channels, True))
            stack += [Position("normal", channels, False)] * cells
        return stack
    stack = []
    channels = init_channels
    for index in range(cells):
        reduction = index in (cells // 3, 2 * cells // 3)
        channels *= 2 if reduction else 1
        stack.append(Position("reduction" if reduction else "normal", channels, reduction))
    return stack


def absent_cells(layout: str, cells: int, types: Iterable[str]) -> list[str]:
    """Return the cell types that do not occur in the stack of a layout.

    Args:
        layout: ``thirds`` or ``stages``.
        cells: Number of cells; per stage in ``stages``.
        types: All cell types of the space.
    """
    present = {position.cell for position in plan(layout, 1, cells)}
    return [name for name in types if name not in present]
