"""The supernet: every operation of every edge, mixed by given weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tune_nas.errors import ConfigError
from tune_nas.layers.normalization import Norm
from tune_nas.layers.primitives import Noise
from tune_nas.seeds import Generators, new_generator
from tune_nas.spaces.auxiliary_skip import with_skip, with_skip_weight
from tune_nas.spaces.backbone import Backbone, Block
from tune_nas.spaces.bridged_stack import BridgedStack
from tune_nas.spaces.fast import FastCell
from tune_nas.spaces.mixed_cell import MixedCell
from tune_nas.spaces.native_cell import NativeCell
from tune_nas.spaces.recomputation import RecomputedCell, recomputed_blocks
from tune_nas.spaces.space import Space
from tune_nas.spaces.weights import CellWeights, MixingWeights

_FORMS: dict[str, type[MixedCell]] = {"plain": MixedCell, "torch": FastCell, "fast": NativeCell}


def supernet_norm(space: Space) -> Norm:
    """Return the factory of the batch normalization in the cells of a space's supernet."""
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
    """The network that contains all cells of a space at once.

    `forward` is a function of its input, the mixing weights and, for random operations, the seed
    given to `seed_draws`; the running statistics of batch normalization are its only state. It does
    not know α. Weights are initialized with torch's global generator: seed it, in a fork, for a
    reproducible start.

    Args:
        space: The space.
        n_classes: Number of classes.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's default.
        cells: Number of cells (per stage in the layout ``stages``); None for the space's default.
        partial_channels: K; 1/K of each node's channels passes through the operations.
        auxiliary_skip: Whether every edge has an auxiliary skip connection beside its operations.
        implementation: ``plain``, or ``fast``: equal up to rounding, with the same state dict.
        recompute: Whether the activations of the larger cells are computed again in the backward
            pass, and not kept; see `recomputed_blocks`.

    Attributes:
        skip_dropout: Probability of dropping a value of an identity in training mode (Chen et al.,
            "P-DARTS", ICCV 2019, arXiv:1904.12760; as in the authors' code, not at stride 2, where
            a skip connection has weights). Set it per epoch.
        skip_weight: β of the auxiliary skip connections, in training and evaluation mode; at 0 they
            are not run. Set it per epoch.
        drop_path: Probability of dropping an image at the output of an edge in training mode, see
            `MixedCell.forward`. Set it per epoch.
        recomputes: Whether activations are recomputed; see `keeping_activations`.

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
        auxiliary_skip: bool = False,
        implementation: Literal["plain", "torch", "fast"] = "plain",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.space = space
        self._sizes: dict[str, Any] = {
            "n_classes": n_classes,
            "in_channels": in_channels,
            "init_channels": init_channels,
            "cells": cells,
            "partial_channels": partial_channels,
            "auxiliary_skip": auxiliary_skip,
        }
        self._implementation = implementation
        self.skip_dropout = 0.0
        self.skip_weight = 0.0
        self.drop_path = 0.0
        self._draw_seed = 0
        self._generators: Generators = new_generator
        check_partial_channels(space, init_channels, partial_channels)
        norm = supernet_norm(space)

        def make_cell(name: str, channels: int, reduction: bool) -> nn.Module:
            after_pools = space.supernet.norm_after_pools
            cell = with_skip(space.cells[name]) if auxiliary_skip else space.cells[name]
            form = _FORMS[implementation]
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
        self.recomputes = recompute
        self._recomputed = dict[Block, RecomputedCell]()
        if recompute:
            recomputed = recomputed_blocks(self.backbone.plan)
            for block, again in zip(self.backbone.blocks, recomputed, strict=True):
                if again and isinstance(block, Block):
                    self._recomputed[block] = RecomputedCell(block.body)
        self._has_noise = any(isinstance(module, Noise) for module in self.modules())

    @cached_property
    def build(self) -> str:
        """Its configuration except the implementation; equal builds have the same state dict."""
        return repr((self.space, self._sizes))

    def smallest_batch(self, side: int) -> int:
        """Return the batch size needed for images of a side; see `Skeleton.smallest_batch`."""
        skeleton = self.space.skeleton
        return skeleton.strategy.smallest_batch(self._sizes["cells"] or skeleton.cells, side)

    @property
    def draws(self) -> bool:
        """Whether operations are random in a pass: noise, dropout or drop path."""
        drops = self.skip_dropout > 0 or self.drop_path > 0
        return self._has_noise or (self.training and drops)

    def meta_copy(self) -> Supernet:
        """Return a copy with torch's operations on the meta device, without memory for its state.

        For use with `torch.func.functional_call`, which provides parameters and buffers.
        """
        with torch.device("meta"):
            return Supernet(self.space, **self._sizes, implementation="torch")

    def seed_draws(self, seed: int, generators: Generators = new_generator) -> None:
        """Seed noise, dropout and drop path: equal in each pass until the next call.

        Args:
            seed: The seed of the pass.
            generators: Source of the generator, given the seed.
        """
        self._draw_seed, self._generators = seed, generators

    @contextmanager
    def keeping_activations(self) -> Iterator[None]:
        """Recompute nothing in the block, for gradients that are differentiated again.

        Recomputing would save nothing there: the graph of a gradient needs all activations.
        """
        recomputes, self.recomputes = self.recomputes, False
        try:
            yield
        finally:
            self.recomputes = recomputes

    def beside_skips(self, name: str, weights: CellWeights) -> CellWeights:
        """Return the weights that a cell's body receives: with β of auxiliary skips, if any.

        Args:
            name: The cell type.
            weights: Its mixing weights.
        """
        if not self._sizes["auxiliary_skip"]:
            return weights
        return with_skip_weight(weights, self.space.cells[name], self.skip_weight)

    def forward(self, x: Tensor, weights: MixingWeights) -> Tensor:
        """Return the logits (n, n_classes) of images (n, in_channels, h, w).

        Args:
            x: Images.
            weights: `CellWeights` by cell type.

        Raises:
            ValueError: If a cell type is missing or a shape wrong, or if a single image on a map of
                one pixel would be normalized with batch statistics.
        """
        by_batch = self.training or not self.space.supernet.track_running_stats
        if by_batch and x.shape[0] < (least := self.smallest_batch(max(x.shape[2:]))):
            raise ValueError(
                f"x has {x.shape[0]} image, but must have >= {least}: its map shrinks to one "
                "pixel, and batch normalization needs more than one value per channel"
            )
        for name, cell in self.space.cells.items():
            if name not in weights:
                raise ValueError(f"weights has no cell '{name}'")
            weights[name].check(cell, name)
        weights = {name: self.beside_skips(name, weights[name]) for name in self.space.cells}

        draws = None
        if self.draws:
            draws = self._generators(self._draw_seed, "operations", x.device)

        def run(block: Block, inputs: list[Tensor]) -> Tensor:
            own = weights[block.cell]
            out: Tensor = self._body(block)(inputs, own, draws, self.skip_dropout, self.drop_path)
            return out

        if self._implementation == "fast" and x.device.type == "cpu":
            last, _ = self._stack.run(x, partial(self._run_parts, weights=weights, draws=draws))
            return self.backbone.classify(last.whole)
        features, _ = self.backbone.features(x, run)
        return self.backbone.classify(features)

    @cached_property
    def _stack(self) -> BridgedStack:
        return BridgedStack(self.backbone)

    def _run_parts(
        self,
        index: int,
        inputs: list[Tensor],
        weights: MixingWeights,
        draws: torch.Generator | None,
    ) -> list[Tensor]:
        block, parts = self.backbone.blocks[index], list[Tensor]()
        assert isinstance(block, Block)
        own, drops = weights[block.cell], (self.skip_dropout, self.drop_path)
        self._body(block)(inputs, own, draws, *drops, parts=parts)
        return parts

    def _body(self, block: Block) -> nn.Module | RecomputedCell:
        """Return what runs the cell of a block."""
        return self._recomputed.get(block, block.body) if self.recomputes else block.body
