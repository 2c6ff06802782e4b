"""The backbone of supernets and final networks: stem, stack of cells, classifier.

Its skeleton determines the stem, the stack and the last layers (`tune_nas.spaces.skeletons`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.errors import ConfigError
from tune_nas.layers.normalization import Norm
from tune_nas.layers.primitives import (
    FactorizedReduce,
    ResidualReduction,
    after_relu,
    relu_conv_norm,
)
from tune_nas.spaces.space import CellSpace, Space


@dataclass(frozen=True)
class BlockPlan:
    """One block of the stack.

    Args:
        cell: The cell type; None for a residual reduction block.
        channels: Channels of each node.
        reduction: Whether it halves the map.
        inputs: For each input node, its channels before the bridge, and whether its map is twice
            the size of the last block's.
        width: Number of output channels.
    """

    cell: str | None
    channels: int
    reduction: bool
    inputs: tuple[tuple[int, bool], ...]
    width: int


MakeCell = Callable[[str, int, bool], nn.Module]
"""Creates a cell, given its type, its channels and whether it reduces."""


class Block(nn.Module):
    """A cell and the bridges that adapt its inputs to its channels and size."""

    def __init__(self, cell: str, preprocess: Sequence[nn.Module], body: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        self.preprocess = nn.ModuleList(preprocess)
        self.body = body

    def inputs(
        self, states: Sequence[Tensor], active: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Return the cell's input nodes.

        Args:
            states: The outputs of the previous blocks.
            active: The same after ReLU, if the bridges should not each apply it again.
        """
        if active is None:
            return [module(state) for module, state in zip(self.preprocess, states, strict=True)]
        return [after_relu(module, x) for module, x in zip(self.preprocess, active, strict=True)]


class Backbone(nn.Module):
    """Stem, blocks, pooling and classifier; the caller determines how a cell runs.

    Args:
        space: The space whose skeleton is built.
        make_cell: Creates the cells.
        norm: Batch normalization in cells; outside of cells it is always affine and tracked.
        n_classes: Number of classes.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's default.
        cells: Number of cells; None for the space's default.
        share_relu: Whether ReLU is applied once to the common input of two cells.

    Attributes:
        plan: The plan of each block.

    Raises:
        ValueError: If a number is below 1.
        ConfigError: If a cell type would not occur, or the skeleton needs more channels.
    """

    def __init__(
        self,
        space: Space,
        make_cell: MakeCell,
        norm: Norm,
        *,
        n_classes: int,
        in_channels: int,
        init_channels: int | None,
        cells: int | None,
        share_relu: bool = False,
    ) -> None:
        super().__init__()
        skeleton = space.skeleton
        self.strategy = skeleton.strategy
        self.share_relu = share_relu and self.strategy.has_bridges
        init_channels = skeleton.init_channels if init_channels is None else init_channels
        cells = skeleton.cells if cells is None else cells
        sizes = {
            "n_classes": n_classes,
            "in_channels": in_channels,
            "init_channels": init_channels,
            "cells": cells,
        }
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} is {value}, but must be >= 1")
        check_channels(space, init_channels, "init_channels")
        check_cells_occur(space, cells, "cells")
        self.n_inputs = space.n_inputs
        self.plan = blocks = plan_blocks(space, init_channels, cells)
        self.tap = 2 * len(blocks) // 3  # position of an auxiliary head
        self.tap_channels = blocks[self.tap].width
        self.stem = make_stem(space, in_channels, init_channels)
        self.blocks = nn.ModuleList(make_block(space, block, make_cell, norm) for block in blocks)
        channels = blocks[-1].width
        self.last = self.strategy.make_last(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, n_classes)

    def features(
        self, x: Tensor, run: Callable[[Block, list[Tensor]], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Run the stack.

        Args:
            x: Images (n, in_channels, h, w).
            run: Runs the cell of a block on its input nodes.

        Returns:
            The outputs of the last block and of the block at 2/3 of the network.
        """
        states = self.strategy.run_stem(self.stem, x, self.n_inputs)
        active = _active(states) if self.share_relu else None
        for index, block in enumerate(self.blocks):
            if isinstance(block, Block):
                out = run(block, block.inputs(states, active))
            else:
                out = block(states[-1])
            states = [*states[1:], out]
            if active is not None and index + 1 < len(self.blocks):
                active = [*active[1:], F.relu(out)]
            if index == self.tap:
                tapped = out
        return states[-1], tapped

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits (n, n_classes) for the last block's output."""
        logits: Tensor = self.classifier(self.pool(self.last(features)).flatten(1))
        return logits


def check_channels(space: Space, channels: int | None, key: str) -> None:
    """Reject a number of channels that is too small for the stem of a skeleton.

    Args:
        space: The space.
        channels: Channels of the first cell; None for the default.
        key: The key that sets it, for the message.

    Raises:
        ConfigError: If it is too small.
    """
    least = space.skeleton.strategy.least_channels
    if channels is not None and channels < least:
        raise ConfigError(
            f"{key} is {channels}, but must be >= {least} in the skeleton '{space.skeleton.layout}'"
        )


def check_cells_occur(space: Space, cells: int, key: str) -> None:
    """Reject a number of cells with which a cell type does not occur: its α would never change.

    Args:
        space: The space.
        cells: Number of cells; per stage in the layout ``stages``.
        key: The key that sets it, for the message.

    Raises:
        ConfigError: If a type does not occur; names the nearest number with which all occur.
    """
    strategy = space.skeleton.strategy
    absent = strategy.absent_cells(cells, space.cells)
    if absent:
        enough = next(
            n for n in itertools.count(cells) if not strategy.absent_cells(n, space.cells)
        )
        raise ConfigError(
            f"{key} is {cells}, but must be >= {enough}: with {cells} the network of space "
            f"'{space.name}' has no {' and no '.join(absent)} cell"
        )


def plan_blocks(space: Space, init_channels: int, cells: int) -> list[BlockPlan]:
    """Return the stack of a network of a space, with the channels between its blocks.

    Args:
        space: The space.
        init_channels: Channels of the first cell.
        cells: Number of cells; per stage in the layout ``stages``.
    """
    skeleton = space.skeleton
    # (channels, whether it is from a reduction) of the next block's inputs
    states = skeleton.strategy.stem_states(init_channels, skeleton.stem_multiplier, space.n_inputs)
    blocks = []
    for position in skeleton.strategy.plan(init_channels, cells):
        width = position.channels
        if position.cell is None:
            inputs: tuple[tuple[int, bool], ...] = ((states[-1][0], False),)
        else:
            cell = space.cells[position.cell]
            inputs = tuple(
                (channels, any(reduced for _, reduced in states[place + 1 :]))
                for place, (channels, _) in enumerate(states)
            )
            width *= len(cell.nodes) if cell.output == "concat" else 1
        blocks.append(
            BlockPlan(position.cell, position.channels, position.reduction, inputs, width)
        )
        states = [*states[1:], (width, position.reduction)]
    return blocks


def make_stem(space: Space, in_channels: int, init_channels: int) -> nn.Module:
    """Return the stem: the layers before the first block."""
    skeleton = space.skeleton
    return skeleton.strategy.make_stem(in_channels, init_channels, skeleton.stem_multiplier)


def make_block(space: Space, block: BlockPlan, make_cell: MakeCell, norm: Norm) -> nn.Module:
    """Return a block of the stack: a residual reduction, or a cell with the bridges to it."""
    if block.cell is None:
        return ResidualReduction(block.inputs[0][0], block.channels, nn.BatchNorm2d)
    bridges: list[nn.Module] = (
        [_bridge(*given, block.channels, norm) for given in block.inputs]
        if space.skeleton.strategy.has_bridges
        else [nn.Identity()]
    )
    return Block(block.cell, bridges, make_cell(block.cell, block.channels, block.reduction))


def join(nodes: list[Tensor], cell: CellSpace) -> Tensor:
    """Return the output of a cell, given all of its nodes."""
    return torch.cat(nodes[cell.n_inputs :], dim=1) if cell.output == "concat" else nodes[-1]


def _active(states: list[Tensor]) -> list[Tensor]:
    """Return tensors after ReLU; one that occurs several times is computed once."""
    once = {id(state): F.relu(state) for state in states}
    return [once[id(state)] for state in states]


def _bridge(channels_in: int, is_larger: bool, channels: int, norm: Norm) -> nn.Module:
    """Return the preprocessing of an input to the cell's channels and the last output's size.

    The output of the cell before last is twice that size if the last cell was a reduction.
    """
    if is_larger:
        return FactorizedReduce(channels_in, channels, norm)
    return relu_conv_norm(channels_in, channels, 1, 1, norm)
