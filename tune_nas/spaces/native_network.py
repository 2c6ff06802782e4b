"""A final network run by the kernels of a CPU: equal up to rounding, with the same parameters.

The convolutions that enter a node are one `mix`: what is between the outputs of their stages is
recomputed in the backward pass, and so not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from tune_nas.layers.primitives import add, in_channels_last, run_operation, zeros_after
from tune_nas.native import (
    Chain,
    Stage,
    Term,
    bridge_stages_of,
    is_kernels_pool,
    kernels_for,
    mix,
    pool,
    stages_of,
)
from tune_nas.spaces.backbone import Block, join
from tune_nas.spaces.network import FinalCell, Network
from tune_nas.spaces.operation_registry import operation_kind

Output = Tensor | tuple[Tensor, Tensor]


class NativeNetwork:
    """Runs a network by the kernels where there are some, and by torch elsewhere.

    Args:
        network: The network, on a CPU; its parameters and statistics are used in place.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        blocks = [block for block in network.backbone.blocks if isinstance(block, Block)]
        self._bridges = {
            id(block): [bridge_stages_of(bridge) for bridge in block.preprocess] for block in blocks
        }
        self._cells = {id(block): _NativeCell(block.body) for block in blocks}  # type: ignore[arg-type]

    def __call__(self, x: Tensor, kept: Tensor | None) -> Output:
        """Return what `Network.run` returns for the same arguments."""
        return self.network.run(x, kept, self._adapt, self._run_cell)

    def _adapt(
        self, block: Block, states: Sequence[Tensor], active: Sequence[Tensor] | None
    ) -> list[Tensor]:
        bridges = zip(block.preprocess, self._bridges[id(block)], states, strict=True)
        return [_bridge(module, stages, state) for module, stages, state in bridges]

    def _run_cell(
        self,
        block: Block,
        inputs: Sequence[Tensor],
        kept: Iterator[Tensor] | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        return self._cells[id(block)](inputs, kept, generator)


def _bridge(module: nn.Module, stages: list[Stage] | None, x: Tensor) -> Tensor:
    if stages is not None and kernels_for(x):
        return mix(None, [], [Chain(x, stages, x.new_ones(()))])
    out: Tensor = module(x)
    return out


class _NativeCell:
    def __init__(self, cell: FinalCell) -> None:
        self._plain = cell
        self._chains = [stages_of(operation) for operation in cell.operations]

    def __call__(
        self,
        inputs: Sequence[Tensor],
        kept: Iterator[Tensor] | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        if not all(kernels_for(x) for x in inputs):
            return self._plain(inputs, kept, generator)  # type: ignore[no-any-return]
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
                term = _run(cell.operations[row], source, generator)
                terms.append(term if factors is None else term * factors)
            if chains:
                nodes.append(mix(None, [Term(term, one) for term in terms], chains))
            else:
                nodes.append(add(terms) if terms else zeros_after(source, stride))
        return join(nodes, cell.cell)


def _run(operation: nn.Module, x: Tensor, generator: torch.Generator | None) -> Tensor:
    if isinstance(operation, nn.MaxPool2d | nn.AvgPool2d) and is_kernels_pool(operation):
        return pool(operation, x)
    return run_operation(operation, x, generator)
