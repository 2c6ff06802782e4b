"""The supernet: every operation of every edge, mixed by weights that come from outside.

This is the plain, readable form: what it computes is the truth that faster forms are held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.errors import ConfigError
from tune_nas.seeds import Generators, new_generator
from tune_nas.spaces.backbone import Backbone, Block, join, smallest_batch
from tune_nas.spaces.primitives import Noise, add, run_operation, zeros_after
from tune_nas.spaces.registry import Norm, build_operation, operation_kind
from tune_nas.spaces.space import CellSpace, Space
from tune_nas.spaces.weights import CellWeights, MixingWeights


class MixedCell(nn.Module):
    """A cell with all of its operations.

    With partial channels (Xu et al., "PC-DARTS", ICLR 2020, arXiv:1907.05737) the first K-th of
    the channels goes through the operations of an edge and the others around them, halved by a
    2×2 maximum where the edge has stride 2; at a node the two are joined and shuffled.

    Args:
        cell: The cell type.
        channels: Channels of every node.
        reduction: Whether edges from input nodes have stride 2.
        norm: Batch normalisation of its operations.
        norm_after_pools: Whether it follows pools too.
        partial_channels: K, a divisor of the channels; 1 for all of them.
    """

    def __init__(
        self,
        cell: CellSpace,
        channels: int,
        reduction: bool,
        norm: Norm,
        norm_after_pools: bool,
        partial_channels: int = 1,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.groups = partial_channels
        self.width = channels // partial_channels
        self.strides = [2 if reduction and e.source < cell.n_inputs else 1 for e in cell.edges]
        self.edges = nn.ModuleList()
        for names, stride in zip(cell.operations, self.strides, strict=True):
            operations = nn.ModuleList()
            for name in names:
                operation = build_operation(name, self.width, stride, norm)
                if norm_after_pools and operation_kind(name) == "pool":
                    operation = nn.Sequential(operation, norm(self.width))
                operations.append(operation)
            self.edges.append(operations)
        # `none` adds zero whatever its weight, so it never needs running
        self.runs = [
            [operation_kind(name) != "none" for name in names] for names in cell.operations
        ]

    def forward(
        self,
        inputs: Sequence[Tensor],
        weights: CellWeights,
        draws: torch.Generator | None = None,
        skip_dropout: float = 0.0,
    ) -> Tensor:
        """Map the input nodes (n, channels, h, w) to the cell's output.

        Args:
            inputs: The input nodes.
            weights: Mixing weights.
            draws: Source of what operations draw; None for torch's global generator.
            skip_dropout: Dropout on identities, in training mode.
        """
        operation_weights = [row.unbind() for row in weights.operations.unbind()]
        edge_weights = None if weights.edges is None else weights.edges.unbind()
        offsets = None if weights.offsets is None else weights.offsets.unbind()
        active = None if weights.active is None else weights.active.tolist()
        dropout = skip_dropout if self.training else 0.0
        nodes = list(inputs)
        for node in self.cell.nodes:
            through, around = [], []
            for row in self.cell.incoming(node):
                source = nodes[self.cell.edges[row].source]
                if active is not None and not any(active[row]):
                    continue  # the edge is not there
                part = source[:, : self.width] if self.groups > 1 else source
                terms = [
                    operation_weights[row][column] * run_operation(operation, part, draws, dropout)
                    for column, operation in enumerate(self.operations_of(row))
                    if self.runs[row][column] and (active is None or active[row][column])
                ]
                mixed = add(terms) if terms else zeros_after(part, self.strides[row])
                if offsets is not None:
                    mixed = mixed + offsets[row]
                through.append(mixed if edge_weights is None else edge_weights[row] * mixed)
                if self.groups > 1:
                    rest = halved(source[:, self.width :], self.strides[row])
                    around.append(rest if edge_weights is None else edge_weights[row] * rest)
            if not through:
                nodes.append(zeros_after(source, self.strides[row]))
            elif not around:
                nodes.append(add(through))
            else:  # the sum over edges may come first: joining and shuffling are linear
                joined = torch.cat([add(through), add(around)], dim=1)
                nodes.append(torch.channel_shuffle(joined, self.groups))
        return join(nodes, self.cell)

    @cached_property
    def _operations(self) -> list[list[nn.Module]]:
        # looking a module up in two containers takes longer than some operations do
        return [list(cast(nn.ModuleList, edge)) for edge in self.edges]

    def operations_of(self, row: int) -> Sequence[nn.Module]:
        """Return the operations of an edge, in the order of their weights."""
        return self._operations[row]


def halved(x: Tensor, stride: int) -> Tensor:
    """Return the channels that go around the operations of an edge of that stride."""
    return x if stride == 1 else F.max_pool2d(x, 2, stride=2, ceil_mode=True)


def _form(implementation: str) -> type[MixedCell]:
    if implementation == "plain":
        return MixedCell
    # the fast forms are derived from the plain one: the import cannot stand at the top
    if implementation == "torch":
        from tune_nas.spaces.fast import FastCell

        return FastCell
    from tune_nas.spaces.native_cell import NativeCell

    return NativeCell


def supernet_norm(space: Space) -> Norm:
    """Return what makes the batch normalisation in the cells of a space's supernet."""
    return partial(
        nn.BatchNorm2d,
        affine=space.supernet.affine,
        track_running_stats=space.supernet.track_running_stats,
    )


def check_partial_channels(space: Space, init_channels: int | None, partial_channels: int) -> None:
    """Check that the channels of a supernet can be divided.

    Raises:
        ValueError: If ``partial_channels`` is below 1.
        ConfigError: If it does not divide the channels of the first cell.
    """
    channels = space.skeleton.init_channels if init_channels is None else init_channels
    if partial_channels < 1:
        raise ValueError(f"partial_channels is {partial_channels}, but must be >= 1")
    if channels % partial_channels:
        raise ConfigError(
            f"init_channels is {channels}, but must be a multiple of partial_channels, "
            f"{partial_channels}"
        )


class Supernet(nn.Module):
    """The network that holds all cells of a space at once.

    `forward` is a function of its input, the mixing weights and, where operations draw, of the
    seed that `seed_draws` was given; besides the running statistics of batch normalisation it
    keeps no state. It knows no α. Weights are drawn from torch's global generator: seed that, in a
    fork, for a reproducible start.

    Args:
        space: The space.
        n_classes: Outputs.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's own.
        cells: Number of cells (per stage in the layout ``stages``); None for the space's own.
        partial_channels: K; one K-th of each node's channels goes through the operations.
        implementation: ``plain``, or ``fast``: equal but for rounding, with the same state dict.

    Attributes:
        skip_dropout: Probability of dropping a value of an identity in training mode (Chen et al.,
            "P-DARTS", ICCV 2019, arXiv:1904.12760; as in the authors' code, not at stride 2, where
            a skip connection has weights). Set it by epoch.

    Raises:
        ValueError: If a number is below 1.
        ConfigError: If the channels are not divisible by ``partial_channels``.
    """

    def __init__(
        self,
        space: Space,
        *,
        n_classes: int,
        in_channels: int = 3,
        init_channels: int | None = None,
        cells: int | None = None,
        partial_channels: int = 1,
        implementation: Literal["plain", "torch", "fast"] = "plain",
    ) -> None:
        super().__init__()
        self.space = space
        self._sizes: dict[str, Any] = {
            "n_classes": n_classes,
            "in_channels": in_channels,
            "init_channels": init_channels,
            "cells": cells,
            "partial_channels": partial_channels,
        }
        self.skip_dropout = 0.0
        self._draw_seed = 0
        self._generators: Generators = new_generator
        check_partial_channels(space, init_channels, partial_channels)
        norm = supernet_norm(space)

        def make_cell(name: str, channels: int, reduction: bool) -> nn.Module:
            after_pools = space.supernet.norm_after_pools
            cell = space.cells[name]
            form = _form(implementation)
            return form(cell, channels, reduction, norm, after_pools, partial_channels)

        self.backbone = Backbone(
            space,
            make_cell,
            norm,
            n_classes=n_classes,
            in_channels=in_channels,
            init_channels=init_channels,
            cells=cells,
            share_relu=implementation != "plain",
        )
        self._has_noise = any(isinstance(module, Noise) for module in self.modules())

    @cached_property
    def build(self) -> str:
        """All but values and form: supernets of equal builds have the same state dict."""
        return repr((self.space, self._sizes))

    def smallest_batch(self, side: int) -> int:
        """Return how many images of a side a batch needs; see the function of this name."""
        skeleton = self.space.skeleton
        return smallest_batch(skeleton.layout, self._sizes["cells"] or skeleton.cells, side)

    @property
    def draws(self) -> bool:
        """Whether operations draw something in a pass: noise, or what dropout drops."""
        return self._has_noise or (self.training and self.skip_dropout > 0)

    def hollow(self) -> Supernet:
        """Return one of the same build by torch's operations, without memory for its state.

        It is for `torch.func.functional_call`, which brings parameters and buffers along.
        """
        with torch.device("meta"):
            return Supernet(self.space, **self._sizes, implementation="torch")

    def seed_draws(self, seed: int, generators: Generators = new_generator) -> None:
        """Seed what operations draw, as noise and dropout: the same in each pass until the next.

        Args:
            seed: The seed of the pass.
            generators: Where the generator comes from, by that seed.
        """
        self._draw_seed, self._generators = seed, generators

    def forward(self, x: Tensor, weights: MixingWeights) -> Tensor:
        """Return the logits (n, n_classes) of images (n, in_channels, h, w).

        Args:
            x: Images.
            weights: `CellWeights` by cell type.

        Raises:
            ValueError: If a cell type is missing or a shape wrong, or if one image is to be
                normalised by its own statistics on a map of one pixel.
        """
        by_batch = self.training or not self.space.supernet.track_running_stats
        if by_batch and x.shape[0] < (least := self.smallest_batch(max(x.shape[2:]))):
            raise ValueError(
                f"x has {x.shape[0]} image, but must have >= {least}: its map shrinks to one "
                "pixel, and batch normalisation needs more than one value per channel"
            )
        for name, cell in self.space.cells.items():
            if name not in weights:
                raise ValueError(f"weights has no cell '{name}'")
            weights[name].check(cell, name)

        draws = None
        if self.draws:
            draws = self._generators(self._draw_seed, "operations", x.device)

        def run(block: Block, inputs: list[Tensor]) -> Tensor:
            out: Tensor = block.body(inputs, weights[block.cell], draws, self.skip_dropout)
            return out

        features, _ = self.backbone.features(x, run)
        return self.backbone.classify(features)
