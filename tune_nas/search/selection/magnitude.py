"""Selection by magnitude: the operations of the largest weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tune_nas.search.selection.selection import Selection, register_selection
from tune_nas.spaces import CellGenotype, CellSpace, CellWeights, Genotype, GenotypeEdge, Space


@register_selection("magnitude")
class Magnitude(Selection):
    """The operations and edges of the largest expected weights (DARTS, Sec. 2.4)."""

    def genotype(self) -> Genotype:
        """Return what the current α selects."""
        search = self.search
        with torch.no_grad():
            weights = search.relaxation.weights(search.alphas, search.betas)
        return select_by_magnitude(search.space, weights)


def select_by_magnitude(space: Space, weights: Mapping[str, CellWeights]) -> Genotype:
    """Keep the operations of largest weight (Liu et al., "DARTS", ICLR 2019, Sec. 2.4).

    On each edge the largest operation that the space does not exclude; into each node the
    ``inputs_per_node`` edges whose operation is largest, or all of them. Edge weights, where
    there are any, scale the operations of their edge (PC-DARTS). Operations that are not active
    are not eligible. Ties go to the earlier one.
    """
    return Genotype(
        space=space.name,
        cells={name: _select_cell(space.cells[name], cell) for name, cell in weights.items()},
    )


def _select_cell(cell: CellSpace, weights: CellWeights) -> CellGenotype:
    strengths = weights.operations.detach().double().cpu()
    if weights.edges is not None:
        strengths = strengths * weights.edges.detach().double().cpu().unsqueeze(1)
    allowed = eligible(cell)
    if weights.active is not None:
        allowed &= weights.active
    strengths = strengths.masked_fill(~allowed, float("-inf"))
    best, chosen = strengths.max(dim=1)
    kept: list[GenotypeEdge] = []
    for node in cell.nodes:
        strongest = sorted(cell.incoming(node), key=lambda index: -float(best[index]))
        kept += [
            GenotypeEdge(
                source=cell.edges[index].source,
                target=node,
                operation=cell.operations[index][int(chosen[index])],
            )
            for index in sorted(strongest[: cell.kept_inputs(node)])
        ]
    return CellGenotype(edges=tuple(kept))


def eligible(cell: CellSpace) -> Tensor:
    """Return which operations of each edge may be selected, (edges, operations), bool."""
    allowed = torch.zeros(len(cell.edges), cell.n_operations, dtype=torch.bool)
    for index, operations in enumerate(cell.operations):
        for position, operation in enumerate(operations):
            allowed[index, position] = operation not in cell.excluded
    return allowed
