"""A final network run by the kernels of a CPU: equal up to rounding, with the same parameters.

The convolutions that enter a node are one `mix`: what is between the outputs of their stages is
recomputed in the backward pass, and so not kept. The nodes of a cell are not concatenated for the
bridges to the next cells, and all bridges from one cell are computed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from tune_nas.layers.primitives import add, in_channels_last, run_operation, zeros_after
from tune_nas.native import (
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
from tune_nas.spaces.bridged_stack import BridgedStack
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
        self._stack = BridgedStack(network.backbone)
        self._cells = {
            index: _NativeCell(block.body)  # type: ignore[arg-type]
            for index, block in enumerate(network.backbone.blocks)
            if isinstance(block, Block)
        }

    def __call__(self, x: Tensor, kept: Tensor | None) -> Output:
        """Return what `Network.run` returns for the same arguments."""
        network, backbone = self.network, self.network.backbone
        factors = None if kept is None else iter(kept.unbind())

        def run(index: int, inputs: list[Tensor]) -> list[Tensor]:
            return self._cells[index](inputs, factors, network.generator)

        last, tapped = self._stack.run(x, run)
        logits = backbone.classify(last.whole)
        if network.auxiliary is not None and network.training:
            return logits, network.auxiliary(tapped.whole)
        return logits


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
