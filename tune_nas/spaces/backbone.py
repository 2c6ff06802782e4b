"""What the supernet and final networks share: stem, stack of cells, classifier.

Sources: quark0/darts ``cnn/model.py`` (layout ``thirds``) and D-X-Y/AutoDL-Projects
``cell_infers/tiny_network.py`` (layout ``stages``). Written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.spaces.primitives import (
    FactorizedReduce,
    ResidualReduction,
    after_relu,
    relu_conv_norm,
)
from tune_nas.spaces.registry import Norm
from tune_nas.spaces.space import CellSpace, Space


@dataclass(frozen=True)
class Position:
    """One place in the stack.

    Args:
        cell: The cell type there; None for a residual reduction block.
        channels: Channels of each of its nodes.
        reduction: Whether it halves the map.
    """

    cell: str | None
    channels: int
    reduction: bool


MakeCell = Callable[[str, int, bool], nn.Module]
"""Makes a cell from its type, channels and whether it reduces."""


class Block(nn.Module):
    """A cell in its place: its inputs are brought to its channels and size first."""

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
            states: The outputs of the blocks before.
            active: Those after ReLU, where the bridges are not to do that again, each by itself.
        """
        if active is None:
            return [module(state) for module, state in zip(self.preprocess, states, strict=True)]
        return [after_relu(module, x) for module, x in zip(self.preprocess, active, strict=True)]


class Backbone(nn.Module):
    """Stem, blocks, pooling and classifier; how a cell runs is the caller's.

    Args:
        space: The space whose skeleton is built.
        make_cell: Makes the cells.
        norm: Batch normalisation in cells; that outside of them is always affine and tracked.
        n_classes: Outputs.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's own.
        cells: Number of cells; None for the space's own.
        share_relu: Whether what two cells start from goes through ReLU once, not once for each.

    Raises:
        ValueError: If a number is below 1.
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
        self.share_relu = share_relu and skeleton.layout == "thirds"
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
        self.n_inputs = next(iter(space.cells.values())).n_inputs
        positions = plan(skeleton.layout, init_channels, cells)
        self.tap = 2 * len(positions) // 3  # where an auxiliary head sits
        channels = skeleton.stem_multiplier * init_channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        states = [(channels, False)] * self.n_inputs  # (channels, whether a reduction made it)
        self.blocks = nn.ModuleList()
        for index, position in enumerate(positions):
            width = position.channels
            if position.cell is None:
                self.blocks.append(ResidualReduction(states[-1][0], width, nn.BatchNorm2d))
            else:
                cell = space.cells[position.cell]
                bridges = (
                    [nn.Identity()]
                    if skeleton.layout == "stages"
                    else [_bridge(states, place, width, norm) for place in range(self.n_inputs)]
                )
                body = make_cell(position.cell, width, position.reduction)
                self.blocks.append(Block(position.cell, bridges, body))
                width *= len(cell.nodes) if cell.output == "concat" else 1
            states = [*states[1:], (width, position.reduction)]
            if index == self.tap:
                self.tap_channels = width
        channels = states[-1][0]
        self.last = (
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
            if skeleton.layout == "stages"
            else nn.Identity()
        )
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
            The last block's output, and that of the block at 2/3 of the network.
        """
        states = [self.stem(x)] * self.n_inputs
        active = [F.relu(states[0])] * self.n_inputs if self.share_relu else None
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
        """Return the logits (n, n_classes) of the last block's output."""
        logits: Tensor = self.classifier(self.pool(self.last(features)).flatten(1))
        return logits


def plan(layout: str, init_channels: int, cells: int) -> list[Position]:
    """Return the stack of a layout, with the channels doubled at each reduction.

    ``thirds``: reductions are the cells number cells // 3 and 2 · cells // 3, counted from 0.
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


@cache
def smallest_batch(layout: str, cells: int, side: int) -> int:
    """Return how many images a batch needs for batch normalisation by its own statistics.

    Of one value per channel the mean is that value and the deviation 0, so that nothing is left.

    Args:
        layout: Layout of the skeleton.
        cells: Number of cells (per stage in the layout ``stages``).
        side: Height and width of the images, in pixels.

    Returns:
        2 where the reductions leave a map of one pixel, else 1.
    """
    for position in plan(layout, 1, cells):
        side = (side + 1) // 2 if position.reduction else side
    return 2 if side == 1 else 1


def join(nodes: list[Tensor], cell: CellSpace) -> Tensor:
    """Return a cell's output, from all of its nodes."""
    return torch.cat(nodes[cell.n_inputs :], dim=1) if cell.output == "concat" else nodes[-1]


def _bridge(states: list[tuple[int, bool]], place: int, channels: int, norm: Norm) -> nn.Module:
    """Return the preprocessing of an input: to the cell's channels and the last output's size.

    The output of the cell before last is twice that size if the last cell was a reduction.
    """
    channels_in = states[place][0]
    if any(reduced for _, reduced in states[place + 1 :]):
        return FactorizedReduce(channels_in, channels, norm)
    return relu_conv_norm(channels_in, channels, 1, 1, norm)
