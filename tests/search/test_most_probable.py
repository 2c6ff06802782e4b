"""The most probable genotypes against the enumeration of a small space."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, small_trial, tiny_trial

from tune_nas.search import Search
from tune_nas.search.selection.most_probable import Ranked, combined, most_probable
from tune_nas.spaces import Genotype

SETN = {
    "relaxation.weights": "uniform-path",
    "selection.kind": "sampled",
    "selection.sampled": {"candidates": "most-probable", "genotypes": 5},
}
Cell = frozenset[tuple[int, int]]  # (row, column) of each edge


def cells_by_probability(search: Search, name: str) -> list[tuple[float, Cell]]:
    """Enumerate the genotypes of a cell of the small space, with their relative probabilities.

    The first node has the edges 0 and 1, the second two of the edges 2, 3 and 4; `none`, the first
    operation, is never in a genotype.
    """
    alpha, beta = search.alphas[name].tolist(), search.betas
    remaining = search.choices.remaining(name).tolist()
    probabilities = []
    for row in range(5):
        exponentials = [math.exp(alpha[row][c]) if remaining[row][c] else 0.0 for c in range(1, 5)]
        total = sum(exponentials)
        probabilities.append([e / total if total else 0.0 for e in exponentials])
    scales = [1.0] * 5
    if beta:
        values = [math.exp(value) for value in beta[name].tolist()]
        scales = [value / sum(values[:2]) for value in values[:2]]
        scales += [value / sum(values[2:]) for value in values[2:]]
    found = []
    for pair in itertools.combinations((2, 3, 4), 2):
        rows = (0, 1, *pair)
        for columns in itertools.product(range(4), repeat=4):
            value = math.prod(
                probabilities[row][column] * scales[row]
                for row, column in zip(rows, columns, strict=True)
            )
            if value:
                cell = frozenset(zip(rows, (c + 1 for c in columns), strict=True))
                found.append((value, cell))
    return found


def as_cells(search: Search, genotype: Genotype) -> list[Cell]:
    """Return the rows and columns of a genotype's edges, by cell type."""
    return [
        frozenset(
            (
                [tuple(known) for known in search.space.cells[name].edges].index(
                    (edge.source, edge.target)
                ),
                search.space.cells[name].operations[0].index(edge.operation),
            )
            for edge in cell.edges
        )
        for name, cell in genotype.cells.items()
    ]


@pytest.mark.parametrize("normalized", [False, True])
def test_they_are_the_first_of_all_genotypes(normalized: bool, tmp_path: Path) -> None:
    own = {"relaxation.init_std": 1.0, "relaxation.edge_normalization": normalized}
    search = Search(small_trial(tmp_path, **own, **{"runtime.dtype": "float64"}))
    with torch.no_grad():
        for beta in search.betas.values():
            beta.copy_(torch.randn(5, generator=torch.Generator().manual_seed(3)))
    normal, reduction = (cells_by_probability(search, name) for name in ("normal", "reduction"))
    assert len(normal) == 3 * 4**4
    if not normalized:  # three sets of edges are equally likely
        assert sum(value for value, _ in normal) == pytest.approx(3.0)
    every = sorted(
        ((a * b, one, other) for a, one in normal for b, other in reduction),
        key=lambda entry: -entry[0],
    )
    for count in (1, 7, 300):
        found = most_probable(search, count)
        assert [as_cells(search, genotype) for genotype in found] == [
            [one, other] for _, one, other in every[:count]
        ]
        for genotype in found:
            genotype.check(search.space)


def test_only_what_is_left_is_ranked_and_decided_edges_come_first(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path, **{"relaxation.init_std": 1.0}))
    for name in ("normal", "reduction"):
        search.choices.decide(name, 3, 2)
        keep = torch.zeros(5, 5, dtype=torch.bool)
        keep[0, [0, 1]] = keep[1, [0, 4]] = keep[2, [1, 2]] = keep[3, 2] = keep[4, 3] = True
        search.choices.keep(name, keep)
    search.choices.prune("reduction", 4)
    found = most_probable(search, 100)
    # normal: 3 with 2 (two operations) or 4 (one); reduction: 3 with 2
    assert len(found) == len(set(found)) == 3 * 2
    for genotype in found:
        normal, reduction = as_cells(search, genotype)
        assert {(0, 1), (1, 4), (3, 2)} < normal and {(0, 1), (1, 4), (3, 2)} < reduction


def test_the_best_unions_of_two_lists() -> None:
    one = [Ranked(score, (("a", at, 0),)) for at, score in enumerate((0.0, -1.0, -3.5))]
    other = [Ranked(score, (("b", at, 0),)) for at, score in enumerate((0.0, -2.0, -2.2))]
    sums = [(r.score, r.choices[0][1], r.choices[1][1]) for r in combined(one, other, 5)]
    assert sums == [(0.0, 0, 0), (-1.0, 1, 0), (-2.0, 0, 1), (-2.2, 0, 2), (-3.0, 1, 1)]
    assert len(combined(one, other, 100)) == 9


def test_the_best_of_them_on_a_validation_batch_is_selected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = Search(tiny_trial(**SETN, **{"relaxation.init_std": 1.0}))
    answers = iter([(1.0, 30.0), (2.0, 40.0), (1.5, 40.0), (0.1, 10.0), (0.1, 20.0)])
    judged: list[Any] = []

    def evaluate(weights: Any, batches: int, **further: Any) -> tuple[float, float]:
        judged.append(weights)
        assert (batches, further) == (1, {"batch_statistics": True})
        return next(answers)

    monkeypatch.setattr(search, "evaluate", evaluate)
    candidates = most_probable(search, 5)
    assert search.genotype == candidates[2]  # as accurate as the second, at a lower loss
    assert len(judged) == 5
    strongest = search.alphas["normal"].detach().argmax(dim=1)  # `none` may be in a genotype here
    assert torch.equal(judged[0]["normal"].operations.argmax(dim=1), strongest)


def test_a_killed_search_ends_as_another(tmp_path: Path) -> None:
    assert_resumes_to_the_bit(tiny_trial(**SETN), tmp_path)
