"""Estimate of the size of a network before it is built.

Every kind of operation and bridge is built once on torch's ``meta`` device, which takes no memory,
and its parameters and convolutions are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from tune_nas.errors import ConfigError
from tune_nas.layers.normalization import Norm
from tune_nas.seeds import building
from tune_nas.spaces.backbone import BlockPlan, make_block, make_stem, plan_blocks
from tune_nas.spaces.genotype import Genotype
from tune_nas.spaces.operation_registry import build_operation, operation_kind
from tune_nas.spaces.recomputation import peak_kept, recomputed_blocks
from tune_nas.spaces.space import Edge, Space
from tune_nas.spaces.supernet import supernet_norm

Count = tuple[int, int]
"""Parameters, and the output channels of all convolutions that are not depthwise."""

MOST_OPERATIONS = 100_000
"""Maximum number of operations of a network; building it takes about a minute."""


@dataclass(frozen=True)
class NetworkEstimate:
    """A lower bound of the size of a network.

    Args:
        parameters: Number of trained parameters; exact except for an auxiliary head.
        kept: Number of values per image that are kept from the forward to the backward pass: the
            outputs of all convolutions that are not depthwise. Every implementation of a network
            keeps these, and most keep several times as many.
        passing: Number of values per image that a forward pass without gradients has at once: the
            output of a block and the outputs that it reads.
    """

    parameters: int
    kept: int
    passing: int


def estimate_supernet(
    space: Space,
    *,
    n_classes: int,
    in_channels: int,
    image_size: int,
    init_channels: int | None = None,
    cells: int | None = None,
    partial_channels: int = 1,
    recompute: bool = False,
) -> NetworkEstimate:
    """Return the size of a supernet; arguments as of `Supernet`.

    Args:
        space: The space.
        n_classes: Number of classes.
        in_channels: Channels of the images.
        image_size: Side of the images, in pixels.
        init_channels: Channels of the first cell; None for the space's default.
        cells: Number of cells (per stage in the layout ``stages``); None for the space's default.
        partial_channels: K, a divisor of the channels.
        recompute: Whether cells are recomputed; then the most values that are kept at a time.

    Raises:
        ConfigError: If it would have more than `MOST_OPERATIONS` operations.
    """
    skeleton = space.skeleton
    blocks = plan_blocks(
        space,
        skeleton.init_channels if init_channels is None else init_channels,
        skeleton.cells if cells is None else cells,
    )
    per_cell = {name: sum(map(len, cell.operations)) for name, cell in space.cells.items()}
    _check_operations(space, [per_cell[block.cell] for block in blocks if block.cell is not None])
    norm = supernet_norm(space)
    pool_norm = 2 if space.supernet.affine and space.supernet.norm_after_pools else 0

    def count(name: str, width: int, stride: int) -> Count:
        parameters, outputs = _count(build_operation(name, width, stride, norm))
        after = pool_norm * width if operation_kind(name) == "pool" else 0
        return parameters + after, outputs

    def operations(cell: str) -> Iterator[tuple[Edge, str]]:
        described = space.cells[cell]
        for edge, names in zip(described.edges, described.operations, strict=True):
            yield from ((edge, name) for name in names)

    network = _Blocks(space, blocks, norm, operations, count, partial_channels)
    again = recomputed_blocks(blocks) if recompute else None
    return network.estimate(n_classes, in_channels, image_size, again)


def estimate_network(
    space: Space,
    genotype: Genotype | None,
    *,
    n_classes: int,
    in_channels: int,
    image_size: int,
    init_channels: int | None = None,
    cells: int | None = None,
) -> NetworkEstimate:
    """Return the size of a final network without auxiliary head; arguments as of `build_network`.

    Args:
        space: The space.
        genotype: The architecture; None if not known yet: its operations are not counted.
        n_classes: Number of classes.
        in_channels: Channels of the images.
        image_size: Side of the images, in pixels.
        init_channels: Channels of the first cell; None for the space's usual final size.
        cells: Number of cells (per stage in the layout ``stages``); None likewise.
    """
    usual_channels, usual_cells = space.final_size
    blocks = plan_blocks(
        space,
        usual_channels if init_channels is None else init_channels,
        usual_cells if cells is None else cells,
    )

    def operations(cell: str) -> Iterator[tuple[Edge, str]]:
        for edge in [] if genotype is None else genotype.cells[cell].edges:
            yield Edge(edge.source, edge.target), edge.operation

    def count(name: str, width: int, stride: int) -> Count:
        return _count(build_operation(name, width, stride, nn.BatchNorm2d))

    network = _Blocks(space, blocks, nn.BatchNorm2d, operations, count)
    return network.estimate(n_classes, in_channels, image_size)


def _check_operations(space: Space, counts: list[int]) -> None:
    if sum(counts) > MOST_OPERATIONS:
        raise ConfigError(
            f"the supernet of space '{space.name}' would have {sum(counts):,} operations in "
            f"{len(counts):,} cells, but must have at most {MOST_OPERATIONS:,}; lower space.cells"
        )


class _Blocks:
    """Sums up the blocks of a network; equal blocks and operations are counted only once.

    Args:
        space: The space.
        blocks: The stack.
        norm: Batch normalization in cells.
        operations: Yields the edges and operations of a cell type.
        count: Counts an operation, given the number of channels and the stride.
        partial_channels: K of the supernet.
    """

    def __init__(
        self,
        space: Space,
        blocks: Sequence[BlockPlan],
        norm: Norm,
        operations: Callable[[str], Iterator[tuple[Edge, str]]],
        count: Callable[[str, int, int], Count],
        partial_channels: int = 1,
    ) -> None:
        self._space, self._blocks, self._norm = space, blocks, norm
        self._operations, self._partial_channels = operations, partial_channels
        first = blocks[0]
        self._init_channels = first.channels // 2 if first.reduction else first.channels
        self._count_operation = cache(count)
        self._count_bridges = cache(self._bridges)
        self._count_cell = cache(self._cell)

    def estimate(
        self,
        n_classes: int,
        in_channels: int,
        image_size: int,
        again: Sequence[bool] | None = None,
    ) -> NetworkEstimate:
        """Return the size of the network; arguments as of `estimate_supernet`.

        ``again`` says which blocks are recomputed; None for none.
        """
        skeleton = self._space.skeleton
        strategy, width = skeleton.strategy, self._blocks[-1].width
        with building(), torch.device("meta"):
            stem = make_stem(self._space, in_channels, self._init_channels)
            parameters, outputs = _count(stem)
            last, _ = _count(strategy.make_last(width))
            side = strategy.stem_side(image_size)
            outside, cells = [outputs * side**2], [0]  # more where the stem halves the map
            passing = 0
            for block in self._blocks:
                read = sum(
                    channels * (2 * side if larger else side) ** 2
                    for channels, larger in block.inputs
                )
                before, inside = self._count_bridges(block), self._count_cell(block)
                outside.append(before[1] * side**2)
                side = math.ceil(side / 2) if block.reduction else side
                cells.append(inside[1] * side**2)
                passing = max(passing, read + block.width * side**2)
                parameters += before[0] + inside[0]
        kept = peak_kept(outside, cells, [False, *(again or [False] * len(self._blocks))])
        return NetworkEstimate(parameters + last + (width + 1) * n_classes, round(kept), passing)

    def _bridges(self, block: BlockPlan) -> Count:
        if block.cell is None:
            return 0, 0
        return _count(make_block(self._space, block, lambda *_: nn.Identity(), self._norm))

    def _cell(self, block: BlockPlan) -> Count:
        if block.cell is None:
            return _count(make_block(self._space, block, lambda *_: nn.Identity(), self._norm))
        cell, width = self._space.cells[block.cell], block.channels // self._partial_channels
        parameters, outputs = 0, 0
        for edge, name in self._operations(block.cell):
            stride = 2 if block.reduction and edge.source < cell.n_inputs else 1
            own = self._count_operation(name, width, stride)
            parameters, outputs = parameters + own[0], outputs + own[1]
        return parameters, outputs


def _count(module: nn.Module) -> Count:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    convolutions = (part for part in module.modules() if isinstance(part, nn.Conv2d))
    return parameters, sum(part.out_channels for part in convolutions if part.groups == 1)
