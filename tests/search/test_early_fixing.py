"""`early_fixing`: which edges are decided, by hand; reported, resumed, and never moved again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, small_trial

from tune_nas.search import Search

# 5 edges of none, skip, pool and two convolutions; a genotype never has `none`.
FIXING: dict[str, Any] = {
    "relaxation.kind": "categorical",
    "schedule.early_fixing": {"gap": 0.3},
    "optimizer.alphas.learning_rate": 0.0,
}


def logits(*shares: float) -> torch.Tensor:
    return torch.tensor([math.log(share) for share in shares])


SHARES = [
    logits(0.1, 0.5, 0.2, 0.1, 0.1),  # 0.5 − 0.2 = 0.3: skip
    logits(0.05, 0.05, 0.1, 0.2, 0.6),  # 0.4: the second convolution
    logits(0.7, 0.1, 0.1, 0.05, 0.05),  # `none` is clear, but not for a genotype
    logits(0.2, 0.2, 0.2, 0.2, 0.2),
    logits(0.1, 0.15, 0.15, 0.5, 0.1),  # 0.35: the first convolution
]


def search_with(folder: Path, **changes: Any) -> Search:
    search = Search(small_trial(folder, **{**FIXING, **changes}))
    with torch.no_grad():
        search.alphas["normal"].copy_(torch.stack(SHARES))
        search.alphas["reduction"].zero_()
    return search


@pytest.mark.parametrize(
    ("gap", "decided"),
    [
        (0.2999, {0: 1, 1: 4, 4: 3}),
        (0.3001, {1: 4, 4: 3}),
        (0.39, {1: 4}),
        (0.5, {}),
        (0.0, {0: 1, 1: 4, 4: 3}),  # the first of equal operations is `none`
    ],
)
def test_edges_with_a_clear_operation_are_decided(
    gap: float, decided: dict[int, int], tmp_path: Path
) -> None:
    search = search_with(tmp_path, **{"schedule.early_fixing.gap": gap})
    metrics = search.run_epoch()
    choices = search.choices
    assert choices.decided("normal").nonzero().flatten().tolist() == list(decided)
    for row, column in decided.items():
        assert choices.remaining("normal")[row].nonzero().flatten().tolist() == [column]
    assert metrics["decided_edges/normal"] == len(decided)
    assert metrics["decided_edges/reduction"] == 0
    names = [search.space.cells["normal"].operations[row][at] for row, at in decided.items()]
    edges = [str(search.space.cells["normal"].edges[row]) for row in decided]
    told = ", ".join(f"normal {edge} {name}" for edge, name in zip(edges, names, strict=True))
    assert search.remarks().get("decisions", "") == told


@pytest.mark.parametrize("kind", ["simplex", "gumbel", "concrete"])
def test_probabilities_on_the_simplex_are_read_as_they_are(kind: str, tmp_path: Path) -> None:
    """softmax(α) of such an α is nearly uniform: no edge would ever be clear by it."""
    simplex: dict[str, Any] = {
        "relaxation.kind": kind,
        "relaxation.alphas": "logits" if kind == "simplex" else "probabilities",
        "optimizer.alphas": {"kind": "exponentiated", "step_size": 1e-12},
        "schedule.early_fixing.gap": 0.31,
    }
    own = {key: value for key, value in FIXING.items() if "learning_rate" not in key}
    search = Search(small_trial(tmp_path, **{**own, **simplex}))
    with torch.no_grad():
        search.alphas["normal"].copy_(torch.stack(SHARES).exp())
    assert search.run_epoch()["decided_edges/normal"] == 2
    assert search.choices.decided("normal").nonzero().flatten().tolist() == [1, 4]


def test_removed_operations_do_not_count(tmp_path: Path) -> None:
    """Of the remaining operations, edge 2 has 1/2, 1/4, 1/4 and edge 3 has 1/2, 1/2."""
    search = search_with(tmp_path, **{"schedule.early_fixing.gap": 0.1})
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2, :2] = False  # leaves 0.1, 0.05 and 0.05 of all
    mask[3, :3] = False
    search.keep("normal", mask)
    search.run_epoch()
    decided = search.choices.decided("normal").tolist()
    assert decided == [True, True, True, False, True]
    assert search.choices.remaining("normal")[2].tolist() == [False, False, True, False, False]


def test_nothing_is_decided_while_w_warms_up(tmp_path: Path) -> None:
    search = search_with(tmp_path, **{"update.warmup": 1})
    found = [search.run_epoch()["decided_edges/normal"] for _ in range(2)]
    assert found == [0, 3]


def test_alpha_of_decided_edges_stays_and_the_search_resumes(tmp_path: Path) -> None:
    changes = {"optimizer.alphas.learning_rate": 0.1}
    search = search_with(tmp_path, **changes)
    search.run_epoch()
    rows = search.choices.decided("normal")
    assert rows.any() and not rows.all()
    before = search.alphas["normal"].detach().clone()
    search.run_epoch()
    after = search.alphas["normal"].detach()
    assert torch.equal(before[rows], after[rows])
    assert not torch.equal(before[~rows], after[~rows])

    own = {**FIXING, **changes, "relaxation.init_std": 1.0, "schedule.early_fixing.gap": 0.25}
    for gradient in ("score", "two"):
        trial = small_trial(tmp_path, **own, **{"relaxation.gradient": gradient})
        assert assert_resumes_to_the_bit(trial, tmp_path).decisions.entries
