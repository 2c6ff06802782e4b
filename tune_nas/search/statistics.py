"""Metrics of α in an epoch: entropies, skip advantage, operation counts of the genotype."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tune_nas.search.relaxation import Alphas
from tune_nas.spaces import CellSpace, CellWeights, Genotype, Space, operation_kind

PARAMETER_FREE = ("skip", "pool", "none", "noise")


def entropies(weights: Mapping[str, CellWeights]) -> dict[str, float]:
    """Return the entropy of the operation weights in nats: mean over edges, by cell and overall.

    Weights that do not sum to 1 (sigmoid) are divided by their sum. Pruned edges, all of whose
    weights are 0, are excluded.
    """
    by_cell = {name: _edge_entropies(cell.operations.detach()) for name, cell in weights.items()}
    found = {f"entropy/{name}": float(values.mean()) for name, values in by_cell.items()}
    return {"entropy/mean": float(torch.cat(list(by_cell.values())).mean()), **found}


def _edge_entropies(operations: Tensor) -> Tensor:
    present = operations[operations.any(dim=1)].double()
    shares = present / present.sum(dim=1, keepdim=True)
    terms: Tensor = torch.special.entr(shares)
    return terms.sum(dim=1)


def skip_advantage(space: Space, alphas: Alphas) -> float:
    """Return mean(softmax α_skip − softmax α_conv) over the edges that have both.

    Several convolutions on an edge are averaged. It grows as a search collapses to skip connections
    (Wang, "Towards efficient, effective, and robust NAS methods", Fig. 2.3). nan if no edge has
    both.
    """
    gaps = []
    for name, alpha in alphas.items():
        cell = space.cells[name]
        shares = alpha.detach().double().cpu()
        shares = shares.masked_fill(~cell.mask(), -math.inf).softmax(dim=1)
        for index in range(len(cell.edges)):
            skip = _of_kind(cell, index, "skip")
            convolutions = _of_kind(cell, index, "convolution")
            if skip and convolutions:
                row = shares[index]
                gaps.append(float(row[skip].mean() - row[convolutions].mean()))
    return sum(gaps) / len(gaps) if gaps else math.nan


def _of_kind(cell: CellSpace, edge: int, kind: str) -> list[int]:
    operations = cell.operations[edge]
    return [i for i, operation in enumerate(operations) if operation_kind(operation) == kind]


def genotype_counts(genotype: Genotype) -> dict[str, float]:
    """Return the number of operations by kind and the fraction without parameters."""
    counts = {kind: genotype.count(kind) for kind in (*PARAMETER_FREE, "convolution")}
    n_edges = sum(len(cell.edges) for cell in genotype.cells.values())
    return {
        "genotype/skips": counts["skip"],
        "genotype/pools": counts["pool"],
        "genotype/convolutions": counts["convolution"],
        "non_learnable_share": sum(counts[kind] for kind in PARAMETER_FREE) / n_edges,
    }
