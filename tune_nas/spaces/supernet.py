"""The supernet: every operation of every edge, mixed by weights that come from outside.

This is the plain, readable form: what it computes is the truth that faster forms are held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from torch import Tensor, nn

from tune_nas.spaces.backbone import Backbone, Block, join
from tune_nas.spaces.primitives import add, zeros_after
from tune_nas.spaces.registry import Norm, build_operation, operation_kind
from tune_nas.spaces.space import CellSpace, Space
from tune_nas.spaces.weights import CellWeights, MixingWeights


class MixedCell(nn.Module):
    """A cell with all of its operations.

    Args:
        cell: The cell type.
        channels: Channels of every node.
        reduction: Whether edges from input nodes have stride 2.
        norm: Batch normalisation of its operations.
        norm_after_pools: Whether it follows pools too.
    """

    def __init__(
        self, cell: CellSpace, channels: int, reduction: bool, norm: Norm, norm_after_pools: bool
    ) -> None:
        super().__init__()
        self.cell = cell
        self.strides = [2 if reduction and e.source < cell.n_inputs else 1 for e in cell.edges]
        self.edges = nn.ModuleList()
        for names, stride in zip(cell.operations, self.strides, strict=True):
            operations = nn.ModuleList()
            for name in names:
                operation = build_operation(name, channels, stride, norm)
                if norm_after_pools and operation_kind(name) == "pool":
                    operation = nn.Sequential(operation, norm(channels))
                operations.append(operation)
            self.edges.append(operations)
        # `none` adds zero whatever its weight, so it never needs running
        self.runs = [
            [operation_kind(name) != "none" for name in names] for names in cell.operations
        ]

    def forward(self, inputs: Sequence[Tensor], weights: CellWeights) -> Tensor:
        """Map the input nodes (n, channels, h, w) to the cell's output."""
        operation_weights = [row.unbind() for row in weights.operations.unbind()]
        edge_weights = None if weights.edges is None else weights.edges.unbind()
        offsets = None if weights.offsets is None else weights.offsets.unbind()
        active = self.runs if weights.active is None else weights.active.tolist()
        nodes = list(inputs)
        for node in self.cell.nodes:
            into = []
            for row in self.cell.incoming(node):
                source = nodes[self.cell.edges[row].source]
                terms = [
                    operation_weights[row][column] * operation(source)
                    for column, operation in enumerate(self.operations_of(row))
                    if self.runs[row][column] and active[row][column]
                ]
                if terms:
                    mixed = add(terms)
                    if offsets is not None:
                        mixed = mixed + offsets[row]
                    into.append(mixed if edge_weights is None else edge_weights[row] * mixed)
            nodes.append(add(into) if into else zeros_after(source, self.strides[row]))
        return join(nodes, self.cell)

    def operations_of(self, row: int) -> Sequence[nn.Module]:
        """Return the operations of an edge, in the order of their weights."""
        return cast(Sequence[nn.Module], self.edges[row])


class Supernet(nn.Module):
    """The network that holds all cells of a space at once.

    `forward` is a function of its input and the mixing weights alone; besides the running
    statistics of batch normalisation it keeps no state. It knows no α. Weights are drawn from
    torch's global generator: seed that, in a fork, for a reproducible start.

    Args:
        space: The space.
        n_classes: Outputs.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's own.
        cells: Number of cells (per stage in the layout ``stages``); None for the space's own.

    Raises:
        ValueError: If a number is below 1.
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
    ) -> None:
        super().__init__()
        self.space = space
        norm = partial(
            nn.BatchNorm2d,
            affine=space.supernet.affine,
            track_running_stats=space.supernet.track_running_stats,
        )

        def make_cell(name: str, channels: int, reduction: bool) -> nn.Module:
            after_pools = space.supernet.norm_after_pools
            return MixedCell(space.cells[name], channels, reduction, norm, after_pools)

        self.backbone = Backbone(
            space,
            make_cell,
            norm,
            n_classes=n_classes,
            in_channels=in_channels,
            init_channels=init_channels,
            cells=cells,
        )

    def seed_draws(self, seed: int) -> None:
        """Seed what operations draw, as noise and dropout, in the passes that follow."""

    def forward(self, x: Tensor, weights: MixingWeights) -> Tensor:
        """Return the logits (n, n_classes) of images (n, in_channels, h, w).

        Args:
            x: Images.
            weights: `CellWeights` by cell type.

        Raises:
            ValueError: If a cell type is missing or a shape wrong.
        """
        for name, cell in self.space.cells.items():
            if name not in weights:
                raise ValueError(f"weights has no cell '{name}'")
            weights[name].check(cell, name)

        def run(block: Block, inputs: list[Tensor]) -> Tensor:
            out: Tensor = block.body(inputs, weights[block.cell])
            return out

        features, _ = self.backbone.features(x, run)
        return self.backbone.classify(features)
