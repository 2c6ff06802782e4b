"""One position in the stack of cells of a network."""

from __future__ import annotations

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
