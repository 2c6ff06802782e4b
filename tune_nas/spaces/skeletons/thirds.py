"""DARTS's skeleton for CIFAR: cells one after another, reductions at 1/3 and 2/3.

Source: quark0/darts ``cnn/model.py``, ``NetworkCIFAR``. Reimplemented.
"""

from __future__ import annotations

from tune_nas.spaces.skeletons.position import Position
from tune_nas.spaces.skeletons.skeleton import Skeleton


class Thirds(Skeleton):
    """Reductions are the cells cells // 3 and 2 · cells // 3 (0-based)."""

    name = "thirds"
    stack = "reduction cells at 1/3 and 2/3"
    cell_types = ("normal", "reduction")
    has_bridges = True

    def plan(self, init_channels: int, cells: int) -> list[Position]:
        """Return the stack, with the channels doubled at each reduction."""
        stack = []
        channels = init_channels
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction else 1
            stack.append(Position("reduction" if reduction else "normal", channels, reduction))
        return stack
