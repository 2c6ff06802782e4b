"""The multiply-adds of each operation of a supernet, by cell type."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from tune_nas.seeds import building
from tune_nas.spaces.backbone import plan_blocks
from tune_nas.spaces.counting import count_multiply_adds
from tune_nas.spaces.operation_registry import build_operation
from tune_nas.spaces.space import Space
from tune_nas.spaces.supernet import supernet_norm


def operation_multiply_adds(
    space: Space,
    *,
    image_size: int,
    init_channels: int | None = None,
    cells: int | None = None,
    partial_channels: int = 1,
) -> dict[str, Tensor]:
    """Return the multiply-adds of one image by operation, summed over the cells of each type.

    Counted as `count_multiply_adds` does: pooling and identities have none.

    Args:
        space: The space.
        image_size: Side of the images, in pixels.
        init_channels: Channels of the first cell; None for the space's default.
        cells: Number of cells (per stage in the layout ``stages``); None for the space's default.
        partial_channels: K; an operation has 1/K of the channels of a node.

    Returns:
        By cell type, (edges, n_operations) in float64; 0 for operations that an edge does not have.
    """
    skeleton = space.skeleton
    norm = supernet_norm(space)

    @cache
    def count(name: str, width: int, stride: int, side: int) -> int:
        operation = build_operation(name, width, stride, norm)
        if next(operation.parameters(), None) is None:
            return 0
        return count_multiply_adds(operation, side, width)

    costs = {
        name: torch.zeros(len(cell.edges), cell.n_operations, dtype=torch.float64)
        for name, cell in space.cells.items()
    }
    blocks = plan_blocks(
        space,
        skeleton.init_channels if init_channels is None else init_channels,
        skeleton.cells if cells is None else cells,
    )
    side = skeleton.strategy.stem_side(image_size)
    with building(), torch.device("meta"):
        for block in blocks:
            before, side = side, math.ceil(side / 2) if block.reduction else side
            if block.cell is None:
                continue
            cell, width = space.cells[block.cell], block.channels // partial_channels
            for row, (edge, names) in enumerate(zip(cell.edges, cell.operations, strict=True)):
                halves = block.reduction and edge.source < cell.n_inputs
                given = (width, 2, before) if halves else (width, 1, side)
                for column, name in enumerate(names):
                    costs[block.cell][row, column] += count(name, *given)
    return costs
