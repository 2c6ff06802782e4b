"""A final network run by the kernels of a CPU: equal up to rounding, with the same parameters.

The convolutions that enter a node are one `mix`: what is between the outputs of their stages is
recomputed in the backward pass, and so not kept. The nodes of a cell are not concatenated for the
bridges to the next cells, and all bridges from one cell are computed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from tune_nas.layers.primitives import add, in_channels_last, run_operation, zeros_after
from tune_nas.native import (
    Bridge,
    Chain,
    Term,
    bridge_of,
    bridges,
    is_kernels_pool,
    kernels_for,
    mix,
    pool,
    stages_of,
)
from tune_nas.spaces.backbone import Block
from tune_nas.spaces.network import FinalCell, Network
from tune_nas.spaces.operation_registry import operation_kind

Output = Tensor | tuple[Tensor, Tensor]


@dataclass
class _Place:
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


class NativeNetwork:
    """Runs a network by the kernels where there are some, and by torch elsewhere.

    Args:
        network: The network, on a CPU; its parameters and statistics are used in place.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._cells = dict[int, _NativeCell]()
        self._modules = dict[tuple[int, int], nn.Module]()
        self._bridges = dict[tuple[int, int], Bridge]()
        for index, block in enumerate(network.backbone.blocks):
            if not isinstance(block, Block):
                continue
            self._cells[index] = _NativeCell(block.body)  # type: ignore[arg-type]
            for number, module in enumerate(block.preprocess):
                self._modules[index, number] = module
                bridge = bridge_of(module)
                if bridge is not None:
                    self._bridges[index, number] = bridge

    def __call__(self, x: Tensor, kept: Tensor | None) -> Output:
        """Return what `Network.run` returns for the same arguments."""
        network, backbone = self.network, self.network.backbone
        factors = None if kept is None else iter(kept.unbind())
        stems = backbone.strategy.run_stem(backbone.stem, x, backbone.n_inputs)
        once = {id(stem): _Place([stem]) for stem in stems}
        places = [once[id(stem)] for stem in stems]
        for index, block in enumerate(backbone.blocks):
            cell = self._cells.get(index)
            if cell is None:
                out = _Place([block(places[-1].whole)])
            else:
                inputs = [self._enter(index, number, places) for number in range(len(places))]
                out = _Place(cell(inputs, factors, network.generator))
            places = [*places[1:], out]
            if index == backbone.tap:
                tapped = out
        logits = backbone.classify(places[-1].whole)
        if network.auxiliary is not None and network.training:
            return logits, network.auxiliary(tapped.whole)
        return logits

    def _enter(self, index: int, number: int, places: Sequence[_Place]) -> Tensor:
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


class _NativeCell:
    def __init__(self, cell: FinalCell) -> None:
        self._plain = cell
        self._chains = [stages_of(operation) for operation in cell.operations]
        self._bridges = [bridge_of(operation) for operation in cell.operations]

    def __call__(
        self,
        inputs: Sequence[Tensor],
        kept: Iterator[Tensor] | None,
        generator: torch.Generator | None,
    ) -> list[Tensor]:
        """Return what `FinalCell.forward` returns for the same arguments, in parts."""
        if not all(kernels_for(x) for x in inputs):
            return [self._plain(inputs, kept, generator)]
        cell, nodes = self._plain, [in_channels_last(x) for x in inputs]
        one = inputs[0].new_ones(())
        for node in cell.cell.nodes:
            terms, chains = list[Tensor](), list[Chain]()
            for row, edge in enumerate(cell.edges):
                if edge.target != node:
                    continue
                source, stride = nodes[edge.source], cell.strides[row]
                if operation_kind(edge.operation) == "none":
                    continue
                factors = next(kept) if kept is not None and cell.is_path(row) else None
                stages = self._chains[row]
                if stages is not None:
                    of_images = None if factors is None else factors.flatten()
                    chains.append(Chain(source, stages, one, of_images))
                    continue
                term = self._run(row, source, generator)
                terms.append(term if factors is None else term * factors)
            if chains:
                nodes.append(mix(None, [Term(term, one) for term in terms], chains))
            else:
                nodes.append(add(terms) if terms else zeros_after(source, stride))
        return nodes[cell.cell.n_inputs :] if cell.cell.output == "concat" else nodes[-1:]

    def _run(self, row: int, x: Tensor, generator: torch.Generator | None) -> Tensor:
        operation, bridge = self._plain.operations[row], self._bridges[row]
        if bridge is not None:
            return bridges([x], [bridge])[0]
        if isinstance(operation, nn.MaxPool2d | nn.AvgPool2d) and is_kernels_pool(operation):
            return pool(operation, x)
        return run_operation(operation, x, generator)
