"""The most probable genotypes by α, exactly: the k best products over independent choices.

Dong and Yang, "One-Shot Neural Architecture Search via Self-Evaluated Template Network" (SETN),
ICCV 2019, arXiv:1910.11831. A genotype of NAS-Bench-201 has one independent choice per edge, as
there. In a space whose genotypes drop edges, the edges of a node are a choice as well, which is our
reading: P(genotype) ∝ Π over its edges of (edge weight · p(operation)).
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import torch
from torch import Tensor

from tune_nas.search.ablation import candidates
from tune_nas.search.view import SearchView
from tune_nas.spaces import CellGenotype, Genotype, GenotypeEdge

_TINY = torch.finfo(torch.float64).tiny

Choice = tuple[str, int, int]
"""A cell type, an edge as a row and an operation as a column."""


class Ranked(NamedTuple):
    """A partial genotype.

    Args:
        score: log Π of its edge weights and probabilities.
        choices: Its edges and operations.
    """

    score: float
    choices: tuple[Choice, ...]


def most_probable(search: SearchView, count: int) -> list[Genotype]:
    """Return the genotypes of largest probability, most probable first; ties in the space's order.

    Probabilities of operations are the expected weights of the remaining operations that a genotype
    may have, divided by their sum on the edge. Decided edges come first, as in `Sampled`.

    Args:
        search: The search.
        count: Their number; fewer if there are not as many.
    """
    best = [Ranked(0.0, ())]
    weights = search.expected_weights()
    for name, cell in search.space.cells.items():
        edges = weights[name].edges
        scores = weights[name].operations.double().cpu()
        scales = torch.ones(len(cell.edges)) if edges is None else edges.cpu()
        for node in cell.nodes:
            found = _best_of_node(
                search, name, node, scores, scales.double().clamp(min=_TINY).log(), count
            )
            best = combined(best, found, count)
    return [_genotype(search, ranked) for ranked in best]


def _best_of_node(
    search: SearchView, name: str, node: int, weights: Tensor, edges: Tensor, count: int
) -> list[Ranked]:
    """Return the best sets of edges into a node, each with an operation per edge.

    After each edge, ``best[n]`` has the best choices of n edges among those so far.
    """
    cell, choices = search.space.cells[name], search.choices
    rows = [row for row in cell.incoming(node) if not choices.pruned(name)[row]]
    decided = [row for row in rows if choices.decided(name)[row]]
    kept = min(cell.kept_inputs(node), len(rows))
    if len(decided) > kept:
        rows = decided
    forced = set(decided) if len(decided) <= kept else set()
    best: list[list[Ranked]] = [[Ranked(0.0, ())], *([] for _ in range(kept))]
    for row in rows:
        columns = candidates(search, name, row)
        own = weights[row, columns].clamp(min=_TINY)
        logs = (own / own.sum()).log() + edges[row]
        order = logs.argsort(descending=True, stable=True).tolist()[:count]
        operations = [Ranked(float(logs[at]), ((name, row, columns[at]),)) for at in order]
        with_row = [[], *(combined(fewer, operations, count) for fewer in best[:-1])]
        without = [[] for _ in best] if row in forced else best
        best = [_merged(one, other, count) for one, other in zip(with_row, without, strict=True)]
    return best[kept]


def combined(one: list[Ranked], other: list[Ranked], count: int) -> list[Ranked]:
    """Return the best unions of an entry of each list; both must be ordered, best first.

    With entry i of one and entry j of the other (1-based), i · j − 1 other pairs are at least as
    good, so that only pairs with i · j <= count are formed.
    """
    pairs = [
        Ranked(a.score + b.score, a.choices + b.choices)
        for i, a in enumerate(one, start=1)
        for b in other[: count // i]
    ]
    return sorted(pairs, key=_by_score)[:count]


def _merged(one: list[Ranked], other: list[Ranked], count: int) -> list[Ranked]:
    return list(heapq.merge(one, other, key=_by_score))[:count]


def _by_score(ranked: Ranked) -> tuple[float, tuple[Choice, ...]]:
    return -ranked.score, ranked.choices


def _genotype(search: SearchView, ranked: Ranked) -> Genotype:
    cells = {}
    for name, cell in search.space.cells.items():
        cells[name] = CellGenotype(
            tuple(
                GenotypeEdge(*cell.edges[row], cell.operations[row][column])
                for own, row, column in ranked.choices
                if own == name
            )
        )
    return Genotype(search.space.name, cells)
