"""A stack of cells whose outputs stay in parts, for bridges that are run by the kernels of a CPU.

The nodes of a cell are not concatenated for the bridges to the next cells, and all bridges from one
cell are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from tune_nas.layers.primitives import ResidualReduction
from tune_nas.native import Bridge, Chain, Stage, bridge_of, bridges, kernels_for, mix, stages_of
from tune_nas.spaces.backbone import Backbone, Block

RunParts = Callable[[int, list[Tensor]], list[Tensor]]
"""Runs the cell of a block, given its index and the input nodes; returns its output in parts."""


@dataclass
class Place:
    """What a block returned.

    Attributes:
        parts: It, in parts along the channels.
        bridged: The outputs of the bridges from it that were computed, by their block and input.
    """

    parts: list[Tensor]
    bridged: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    @cached_property
    def whole(self) -> Tensor:
        """The parts in one tensor."""
        return torch.cat(self.parts, dim=1) if len(self.parts) > 1 else self.parts[0]


class BridgedStack:
    """Runs the stack of a backbone; its bridges and reductions by the kernels where there are some.

    Args:
        backbone: The backbone, on a CPU; its parameters and statistics are used in place.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._modules = dict[tuple[int, int], nn.Module]()
        self._bridges = dict[tuple[int, int], Bridge]()
        self._last_stages = dict[int, list[Stage]]()  # of the residual reductions
        for index, block in enumerate(backbone.blocks):
            if isinstance(block, ResidualReduction):
                stages = stages_of(block.second)
                if stages is not None:
                    self._last_stages[index] = stages
            if not isinstance(block, Block):
                continue
            for number, module in enumerate(block.preprocess):
                self._modules[index, number] = module
                bridge = bridge_of(module)
                if bridge is not None:
                    self._bridges[index, number] = bridge

    def run(self, x: Tensor, run: RunParts) -> tuple[Place, Place]:
        """Run the stack; see `Backbone.features`."""
        backbone = self._backbone
        stems = backbone.strategy.run_stem(backbone.stem, x, backbone.n_inputs)
        once = {id(stem): Place([stem]) for stem in stems}
        places = [once[id(stem)] for stem in stems]
        for index, block in enumerate(backbone.blocks):
            if isinstance(block, Block):
                inputs = [self._enter(index, number, places) for number in range(len(places))]
                out = Place(run(index, inputs))
            else:
                out = Place([self._reduce(index, places[-1].whole)])
            places = [*places[1:], out]
            if index == backbone.tap:
                tapped = out
        return places[-1], tapped

    def _enter(self, index: int, number: int, places: Sequence[Place]) -> Tensor:
        """Return an input node of the cell of a block, and compute all bridges from its place."""
        place = places[number]
        if (index, number) not in place.bridged:
            if (index, number) not in self._bridges or not all(map(kernels_for, place.parts)):
                out: Tensor = self._modules[index, number](place.whole)
                return out
            readers = [
                (index + later, other - later)
                for other, same in enumerate(places)
                for later in range(other + 1)
                if same is place and (index + later, other - later) in self._bridges
            ]
            found = bridges(place.parts, [self._bridges[reader] for reader in readers])
            place.bridged.update(zip(readers, found, strict=True))
        return place.bridged.pop((index, number))

    def _reduce(self, index: int, x: Tensor) -> Tensor:
        """Return the output of a residual reduction; its last convolution is by the kernels."""
        block = self._backbone.blocks[index]
        if index in self._last_stages and kernels_for(x):
            assert isinstance(block, ResidualReduction)
            chain = Chain(block.first(x), self._last_stages[index], x.new_ones(()))
            return mix(block.shortcut(x), [], [chain])
        out: Tensor = block(x)
        return out
