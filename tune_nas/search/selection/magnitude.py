"""Selection by magnitude: the operations of the largest weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tune_nas.search.plugins import check_cells
from tune_nas.search.relaxation import softmax_where
from tune_nas.search.selection.selection import Selection
from tune_nas.search.view import SearchControl
from tune_nas.spaces import (
    CellGenotype,
    CellSpace,
    CellWeights,
    Genotype,
    GenotypeEdge,
    Space,
    operation_kind,
)


class Magnitude(Selection):
    """The operations and edges of the largest expected weights (DARTS, Sec. 2.4).

    Args:
        search: The search.

    Raises:
        ConfigError: If a cell in ``selection.max_skips`` does not exist in the space.
    """

    reads_alpha = True

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        self.max_skips = search.trial.selection.max_skips
        check_cells("selection.max_skips", self.max_skips, search.space)

    def genotype(self) -> Genotype:
        """Return the genotype that the current α selects."""
        search = self.search
        with torch.no_grad():
            weights = search.relaxation.weights(search.alphas, search.betas)
            if search.trial.selection.rank_by == "softmax":
                weights = {
                    name: replace(cell, operations=self._softmax(name))
                    for name, cell in weights.items()
                }
        return select_by_magnitude(search.space, weights, self.max_skips)

    def _softmax(self, name: str) -> Tensor:
        """Return softmax(α) of a cell type over the remaining operations of each edge."""
        alpha = self.search.alphas[name]
        mask = self.search.choices.remaining(name, alpha.device)
        return softmax_where(self.search.relaxation.logits(alpha, mask), mask)


def select_by_magnitude(
    space: Space, weights: Mapping[str, CellWeights], max_skips: Mapping[str, int] | None = None
) -> Genotype:
    """Keep the operations of largest weight (Liu et al., "DARTS", ICLR 2019, Sec. 2.4).

    On each edge, the strongest operation that the space does not exclude; into each node, the
    ``inputs_per_node`` edges whose operation is strongest, or all of them. Edge weights, if any,
    scale the operations of their edge (PC-DARTS). Inactive operations are not eligible. Ties go to
    the first.

    Args:
        space: The space.
        weights: Mixing weights by cell type.
        max_skips: Maximum number of skip connections by cell type. While there are more, the
            weakest is removed and the cell is selected again (P-DARTS, arXiv:1904.12760). One that
            cannot be replaced is kept.
    """
    bounds = max_skips or {}
    return Genotype(
        space=space.name,
        cells={
            name: _select_cell(space.cells[name], cell, bounds.get(name))
            for name, cell in weights.items()
        },
    )


def _select_cell(cell: CellSpace, weights: CellWeights, max_skips: int | None) -> CellGenotype:
    strengths = weights.operations.detach().double().cpu()
    if weights.edges is not None:
        strengths = strengths * weights.edges.detach().double().cpu().unsqueeze(1)
    allowed = cell.eligible()
    if weights.active is not None:
        allowed &= weights.active
    picked = _pick(cell, strengths, allowed)
    while max_skips is not None:
        skips = [(row, column) for row, column in picked if _is_skip(cell, row, column)]
        spare = [pair for pair in skips if _can_give_way(cell, allowed, *pair)]
        if len(skips) <= max_skips or not spare:
            break
        allowed[min(spare, key=lambda pair: float(strengths[pair]))] = False
        picked = _pick(cell, strengths, allowed)
    edges = (
        GenotypeEdge(
            source=cell.edges[row].source,
            target=cell.edges[row].target,
            operation=cell.operations[row][column],
        )
        for row, column in picked
    )
    return CellGenotype(edges=tuple(edges))


def _pick(cell: CellSpace, strengths: Tensor, allowed: Tensor) -> list[tuple[int, int]]:
    """Return the strongest edges into each node, each with its strongest operation."""
    best, chosen = strengths.masked_fill(~allowed, -math.inf).max(dim=1)
    picked: list[tuple[int, int]] = []
    for node in cell.nodes:
        ranked = sorted(cell.incoming(node), key=lambda row: -float(best[row]))
        picked += [(row, int(chosen[row])) for row in sorted(ranked[: cell.kept_inputs(node)])]
    return picked


def _is_skip(cell: CellSpace, row: int, column: int) -> bool:
    return operation_kind(cell.operations[row][column]) == "skip"


def _can_give_way(cell: CellSpace, allowed: Tensor, row: int, column: int) -> bool:
    """Return whether the node has all of its inputs without this operation of this edge."""
    node = cell.edges[row].target
    left = allowed.clone()
    left[row, column] = False
    usable = int(left[list(cell.incoming(node))].any(dim=1).sum())
    return usable >= cell.kept_inputs(node)
