"""SGAS: scores against numbers worked out by hand; which edges are decided, and when."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, assert_same_state, finished, small_trial

from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.rules.sequential_decisions import certainty, edge_scores, min_max

# 4 decisions in the small space: after epochs 2, 3, 4 and 5.
GREEDY: dict[str, Any] = {
    "schedule.epochs": 5,
    "schedule.greedy": {"warmup": 1, "every": 1, "batch_growth": 2},
    "selection.kind": "greedy",
}

F64 = torch.float64
# Three edges of three operations: no preference, one alone, one of two.
SHARES = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]], dtype=F64)
IMPORTANCE = torch.tensor([0.2, 0.6, 1.0], dtype=F64)
MASK = torch.ones(3, 3, dtype=torch.bool)
HALF = 1 - math.log(2) / math.log(3)


def test_certainty_is_one_minus_the_relative_entropy() -> None:
    assert certainty(SHARES, MASK).tolist() == pytest.approx([0, 1, HALF], abs=1e-12)
    only = torch.tensor([[True, False], [True, True]])
    shares = torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=F64)
    assert certainty(shares, only).tolist() == pytest.approx([1, 0], abs=1e-12)


def test_criterion_1_is_importance_times_certainty_each_between_0_and_1() -> None:
    found = edge_scores(IMPORTANCE, SHARES, MASK)
    assert found.tolist() == pytest.approx([0 * 0, 0.5 * 1, 1 * HALF], abs=1e-12)


def test_criterion_2_has_the_mean_intersection_with_earlier_epochs_too() -> None:
    before = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]], dtype=F64)
    earlier = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=F64)
    # intersections: 1, 1, ½ and 1, 0, 0; their means 1, ½, ¼ spread over [0, 1]: 1, ⅓, 0
    found = edge_scores(IMPORTANCE, SHARES, MASK, [before, earlier])
    assert found.tolist() == pytest.approx([0, 0.5 / 3, 0], abs=1e-12)


def test_what_tells_nothing_apart_leaves_the_rest_to_decide() -> None:
    assert min_max(torch.full((4,), 0.3)).tolist() == [1, 1, 1, 1]
    ones = torch.ones(3, dtype=F64)
    assert edge_scores(ones, SHARES, MASK).tolist() == pytest.approx([0, 1, HALF], abs=1e-12)


def scores_by_hand(alpha: list[list[float]]) -> list[float]:
    """Criterion 1 of softmax α whose first operation is `none`, in plain Python."""
    importances, certainties = [], []
    for row in alpha:
        exponentials = [math.exp(value) for value in row]
        shares = [value / sum(exponentials[1:]) for value in exponentials[1:]]
        importances.append(sum(exponentials[1:]) / sum(exponentials))
        entropy = -sum(share * math.log(share) for share in shares)
        certainties.append(1 - entropy / math.log(len(shares)))

    def spread(values: list[float]) -> list[float]:
        return [(value - min(values)) / (max(values) - min(values)) for value in values]

    return [a * b for a, b in zip(spread(importances), spread(certainties), strict=True)]


def test_the_edge_of_the_highest_score_is_decided_with_its_strongest_operation(
    tmp_path: Path,
) -> None:
    search = Search(small_trial(tmp_path, **GREEDY))
    torch.manual_seed(3)
    with torch.no_grad():
        for alpha in search.alphas.values():
            alpha.copy_(torch.randn_like(alpha))
    search.epoch = 2
    decided: dict[str, list[int]] = {name: [] for name in search.space.cells}
    for _ in range(2):
        search.rules[0].after_epoch({})
        for name, alpha in search.alphas.items():
            scores = scores_by_hand(alpha.tolist())
            # the spread is over all edges; decided ones are left out only after it
            open_before = [row for row in range(5) if row not in decided[name]]
            expected = max(open_before, key=lambda row: scores[row])
            assert search.choices.decided(name)[expected]
            operation = int(alpha[expected, 1:].argmax()) + 1
            kept = search.choices.remaining(name)[expected].nonzero().flatten().tolist()
            assert kept == [operation]
            decided[name].append(expected)
            assert search.choices.decided(name).nonzero().flatten().tolist() == sorted(
                decided[name]
            )
        search.epoch += 1


def test_every_decision_in_its_epoch_and_no_edge_too_many(tmp_path: Path) -> None:
    search = finished(small_trial(tmp_path, **GREEDY))
    for name, cell in search.space.cells.items():
        counts = [metrics[f"decided_edges/{name}"] for metrics in search.history]
        assert counts == [0, 1, 2, 3, 4]
        decided, pruned = search.choices.decided(name), search.choices.pruned(name)
        for node in cell.nodes:
            incoming = list(cell.incoming(node))
            assert int(decided[incoming].sum()) == 2
        assert torch.equal(pruned, ~decided)
        found = [(edge.source, edge.target) for edge in search.genotype.cells[name].edges]
        edges = [tuple(cell.edges[row]) for row in decided.nonzero().flatten().tolist()]
        assert sorted(found) == sorted(edges)
    assert [metrics["batch_size"] for metrics in search.history] == [8, 10, 12, 14, 16]
    assert search.batch_size == 16


def test_alpha_of_a_decided_edge_stays_and_that_of_open_ones_moves(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path, **GREEDY))
    search.run_epoch()
    search.run_epoch()
    before = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
    decided = {name: search.choices.decided(name).clone() for name in before}
    open_rows = {name: search.choices.open(name) for name in before}
    search.run_epoch()
    for name, alpha in search.alphas.items():
        assert torch.equal(alpha.detach()[decided[name]], before[name][decided[name]])
        assert all(not torch.equal(alpha[row], before[name][row]) for row in open_rows[name])


def test_without_pruning_the_other_edges_stay_mixed(tmp_path: Path) -> None:
    search = finished(small_trial(tmp_path, **{**GREEDY, "schedule.greedy.prune": False}))
    for name in search.space.cells:
        assert int(search.choices.decided(name).sum()) == 4
        assert len(search.choices.open(name)) == 1
        assert not search.choices.pruned(name).any()


def test_before_the_first_decision_it_is_darts_to_the_bit(tmp_path: Path) -> None:
    greedy = small_trial(tmp_path, **{**GREEDY, "schedule.greedy.warmup": 2, "schedule.epochs": 6})
    plain = with_overrides(greedy, {"schedule.greedy": None, "selection.kind": "magnitude"})
    one, other = Search(greedy), Search(plain)
    for _ in range(2):
        one.run_epoch()
        other.run_epoch()
    states = [search.state_dict() for search in (one, other)]
    for key in ("supernet", "alphas", "optimisers", "draws", "train_batches", "valid_batches"):
        assert_same_state(states[0][key], states[1][key], key)
    assert one.genotype == other.genotype


@pytest.mark.parametrize("criterion", [1, 2])
def test_a_kill_between_decisions_changes_nothing(criterion: int, tmp_path: Path) -> None:
    changes = {"schedule.greedy.criterion": criterion, "schedule.greedy.history": 2}
    assert_resumes_to_the_bit(small_trial(tmp_path, **{**GREEDY, **changes}), tmp_path)


def test_perturbation_chooses_the_operation_of_the_edge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def choose(search: Search, cell: str, row: int) -> int:
        asked.append((cell, row))
        return 3

    monkeypatch.setattr("tune_nas.search.selection.perturbation.perturbed_choice", choose)
    search = Search(small_trial(tmp_path, **{**GREEDY, "selection.kind": "perturbation"}))
    search.run_epoch()
    search.run_epoch()
    assert [cell for cell, _ in asked] == ["normal", "reduction"]
    for cell, row in asked:
        assert search.choices.remaining(cell)[row].tolist() == [False, False, False, True, False]


def test_decisions_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Search(small_trial(tmp_path, **{**GREEDY, "schedule.greedy.every": 2}))
    assert str(caught.value) == (
        "schedule.greedy makes 4 decisions in space 'small', the last after epoch 8, but the "
        "search has 5 epochs (schedule.epochs)"
    )
