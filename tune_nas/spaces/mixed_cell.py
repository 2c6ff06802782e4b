"""A cell with all of its operations, mixed by given weights.

This is the plain, readable implementation, the reference for faster ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.layers.normalization import Norm
from tune_nas.layers.primitives import add, run_operation, zeros_after
from tune_nas.layers.structure import NormedOperation
from tune_nas.spaces.backbone import join
from tune_nas.spaces.operation_registry import build_operation, operation_kind
from tune_nas.spaces.space import CellSpace
from tune_nas.spaces.weights import CellWeights


class MixedCell(nn.Module):
    """A cell with all of its operations.

    With partial channels (Xu et al., "PC-DARTS", ICLR 2020, arXiv:1907.05737) the first 1/K of the
    channels passes through the operations of an edge and the others bypass them, downsampled by 2×2
    max pooling if the edge has stride 2; at a node, both are concatenated and shuffled.

    Args:
        cell: The cell type.
        channels: Channels of every node.
        reduction: Whether edges from input nodes have stride 2.
        norm: Batch normalization of its operations.
        norm_after_pools: Whether it also follows pooling.
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
                    operation = NormedOperation(operation, norm(self.width))
                operations.append(operation)
            self.edges.append(operations)
        # `none` adds zero for any weight, so it is never run
        self.runs = [
            [operation_kind(name) != "none" for name in names] for names in cell.operations
        ]

    def forward(
        self,
        inputs: Sequence[Tensor],
        weights: CellWeights,
        draws: torch.Generator | None = None,
        skip_dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> Tensor:
        """Map the input nodes (n, channels, h, w) to the cell's output.

        Args:
            inputs: The input nodes.
            weights: Mixing weights.
            draws: Generator for random operations; None for torch's global generator.
            skip_dropout: Dropout on identities, in training mode.
            drop_path: Probability p of dropping an image at the output of an edge, in training
                mode: the whole mixture, also with the channels that bypass the operations. Other
                outputs are divided by 1 − p. (RobustDARTS's code, ``src/search/model_search.py``)
        """
        operation_weights = [row.unbind() for row in weights.operations.unbind()]
        edge_weights = None if weights.edges is None else weights.edges.unbind()
        offsets = None if weights.offsets is None else weights.offsets.unbind()
        active = None if weights.active is None else weights.active.tolist()
        dropout = skip_dropout if self.training else 0.0
        kept = self.draw_kept(inputs[0], draws, drop_path)
        nodes = list(inputs)
        for node in self.cell.nodes:
            through, around = [], []
            for row in self.cell.incoming(node):
                source = nodes[self.cell.edges[row].source]
                if active is not None and not any(active[row]):
                    continue  # the edge does not exist
                part = source[:, : self.width] if self.groups > 1 else source
                terms = [
                    operation_weights[row][column] * run_operation(operation, part, draws, dropout)
                    for column, operation in enumerate(self.operations_of(row))
                    if self.runs[row][column] and (active is None or active[row][column])
                ]
                mixed = add(terms) if terms else zeros_after(part, self.strides[row])
                if offsets is not None:
                    mixed = mixed + offsets[row]
                if kept is not None:
                    mixed = mixed * kept[row]
                through.append(mixed if edge_weights is None else edge_weights[row] * mixed)
                if self.groups > 1:
                    rest = halved(source[:, self.width :], self.strides[row])
                    if kept is not None:
                        rest = rest * kept[row]
                    around.append(rest if edge_weights is None else edge_weights[row] * rest)
            if not through:
                nodes.append(zeros_after(source, self.strides[row]))
            elif not around:
                nodes.append(add(through))
            else:  # the sum over edges can be first: concatenation and shuffling are linear
                joined = torch.cat([add(through), add(around)], dim=1)
                nodes.append(torch.channel_shuffle(joined, self.groups))
        return join(nodes, self.cell)

    def draw_kept(
        self, x: Tensor, draws: torch.Generator | None, drop_path: float
    ) -> Sequence[Tensor] | None:
        """Sample the images that drop path keeps at each edge: factors (n, 1, 1, 1) by row.

        Args:
            x: An input node, which determines n, the type and the device.
            draws: Generator, on any device; None for torch's global generator.
            drop_path: The probability p.

        Returns:
            0 for a dropped image, else 1 / (1 − p), which keeps the mean; None if p is 0 or in
            evaluation mode.
        """
        if not self.training or drop_path == 0:
            return None
        device = x.device if draws is None else draws.device
        shape = (len(self.cell.edges), x.shape[0], 1, 1, 1)
        kept = torch.rand(shape, generator=draws, device=device) >= drop_path
        return (kept.to(x.device, x.dtype) / (1.0 - drop_path)).unbind()

    @cached_property
    def _operations(self) -> list[list[nn.Module]]:
        # a lookup in two module containers takes longer than some operations
        return [list(cast(nn.ModuleList, edge)) for edge in self.edges]

    def operations_of(self, row: int) -> Sequence[nn.Module]:
        """Return the operations of an edge, in the order of their weights."""
        return self._operations[row]


def halved(x: Tensor, stride: int) -> Tensor:
    """Return the channels that bypass the operations of an edge of this stride."""
    return x if stride == 1 else F.max_pool2d(x, 2, stride=2, ceil_mode=True)
