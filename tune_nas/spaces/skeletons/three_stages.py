"""NAS-Bench-201's skeleton: three stages of cells with residual reductions between them.

Source: D-X-Y/AutoDL-Projects ``cell_infers/tiny_network.py``. Reimplemented.
"""

from __future__ import annotations

from torch import nn

from tune_nas.spaces.skeletons.position import Position
from tune_nas.spaces.skeletons.skeleton import Skeleton


class Stages(Skeleton):
    """Three stages of ``cells`` cells."""

    name = "stages"
    stack = "3 stages, a residual reduction between two"
    cell_types = ("normal",)
    has_bridges = False
    by_stage = True

    def plan(self, init_channels: int, cells: int) -> list[Position]:
        """Return the stack, with the channels doubled at each reduction."""
        stack: list[Position] = []
        for stage in range(3):
            channels = init_channels * 2**stage
            if stage:
                stack.append(Position(None, channels, True))
            stack += [Position("normal", channels, False)] * cells
        return stack

    def make_last(self, channels: int) -> nn.Module:
        """Return batch normalization and ReLU."""
        return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
