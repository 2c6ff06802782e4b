"""Selection among sampled genotypes, and of what was decided greedily."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_same_state, finished, small_trial, tiny_trial

from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.selection.decided import read_decided
from tune_nas.search.selection.sampled import sample_genotype, weights_of
from tune_nas.seeds import make_generator
from tune_nas.spaces import Genotype

RSPS = {
    "relaxation.kind": "uniform-path",
    "update.level": "none",
    "selection.kind": "sampled",
    "selection.sampled.genotypes": 4,
}


def test_genotypes_are_drawn_uniformly(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path))
    generator = torch.Generator().manual_seed(0)
    edges: Counter[str] = Counter()
    operations: Counter[str] = Counter()
    n = 600
    for _ in range(n):
        genotype = sample_genotype(search, generator)
        genotype.check(search.space)
        cell = genotype.cells["normal"].edges
        edges.update(str(edge) for edge in cell)
        operations.update(edge.operation for edge in cell)
    assert edges["0->2"] == edges["1->2"] == n  # all that the first node has
    for edge in ("0->3", "1->3", "2->3"):  # two of three: within 4 standard deviations
        assert abs(edges[edge] - n * 2 / 3) < 4 * (n * 2 / 9) ** 0.5
    assert sorted(operations) == ["avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3", "skip_connect"]
    for count in operations.values():  # of 4 n operations a quarter each
        assert abs(count - n) < 4 * (4 * n * 3 / 16) ** 0.5


def test_only_what_is_open_is_drawn_and_decided_edges_come_first(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path))
    search.choices.prune("normal", 0)
    search.choices.decide("normal", 4, 3)
    keep = torch.ones(5, 5, dtype=torch.bool)
    keep[1, 2:] = False
    search.choices.keep("normal", keep)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        cell = sample_genotype(search, generator).cells["normal"]
        found = {str(edge): edge.operation for edge in cell.edges}
        assert "0->2" not in found
        assert found["1->2"] == "skip_connect"
        assert found["2->3"] == "nor_conv_1x1"


def test_the_supernet_at_a_genotype_runs_its_operations_alone(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **{"relaxation.edge_normalization": True})
    search = Search(trial)
    genotype = sample_genotype(search, torch.Generator().manual_seed(2))
    weights = weights_of(search, genotype)
    for name, cell in search.space.cells.items():
        chosen = {str(edge): edge.operation for edge in genotype.cells[name].edges}
        wanted = torch.zeros(5, 5)
        for row, edge in enumerate(cell.edges):
            if str(edge) in chosen:
                wanted[row, cell.operations[row].index(chosen[str(edge)])] = 1.0
        assert torch.equal(weights[name].operations, wanted)
        assert weights[name].active is not None
        assert torch.equal(weights[name].active, wanted.bool())
        beta = search.betas[name].detach()
        for node in cell.nodes:
            rows = [row for row in cell.incoming(node) if wanted[row].any()]
            share = beta[rows].exp() / beta[rows].exp().sum()
            assert weights[name].edges is not None
            torch.testing.assert_close(weights[name].edges[rows], share)
    assert search.choices.is_untouched("normal")
    images = search.data.valid.images[:4].to(search.dtype)
    search.supernet.eval()
    everything = search.supernet(images, search.expected_weights())
    assert not torch.equal(search.supernet(images, weights), everything)


def test_the_best_of_an_epoch_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(tiny_trial(**RSPS))
    answers = iter([(1.0, 30.0), (2.0, 40.0), (1.5, 40.0), (0.1, 10.0)])
    judged: list[tuple[Any, dict[str, Any]]] = []

    def evaluate(weights: Any, batches: int, **further: Any) -> tuple[float, float]:
        judged.append((weights, {"batches": batches, **further}))
        return next(answers)

    monkeypatch.setattr(search, "evaluate", evaluate)
    best = search.genotype
    assert search.genotype == best  # no further evaluation
    assert len(judged) == 4
    assert all(call == {"batches": 1, "batch_statistics": True} for _, call in judged)
    # the third: as accurate as the second, at a lower loss
    third = weights_of(search, best)["normal"].operations
    assert torch.equal(judged[2][0]["normal"].operations, third)
    assert search.selection.metrics() == {
        "sampled/best_accuracy": 40.0,
        "sampled/mean_accuracy": 30.0,
    }


def test_epochs_draw_their_own_and_training_does_not_notice() -> None:
    trial = tiny_trial(**RSPS, **{"schedule.epochs": 2})
    sampled = finished(trial)
    other = Search(with_overrides(trial, {"selection.kind": "perturbation"}))
    other.run_epoch()
    other.run_epoch()
    for key in ("supernet", "optimisers", "draws", "train_batches"):
        assert_same_state(sampled.state_dict()[key], other.state_dict()[key], key)
    assert {"sampled/best_accuracy", "sampled/mean_accuracy"} <= sampled.history[-1].keys()
    draws = [
        sample_genotype(sampled, make_generator(0, f"genotypes of epoch {epoch}"))
        for epoch in (1, 2)
    ]
    assert draws[0] != draws[1]


def test_decided_edges_come_before_heavier_ones(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **{"relaxation.edge_normalization": True})
    search = Search(trial)
    with torch.no_grad():
        search.alphas["normal"][3:, 1] = 9.0  # 1->3 and 2->3: skip_connect
        search.betas["normal"][2] = -9.0  # 0->3 hardly counts
    before = read_decided(search).cells["normal"]
    assert {str(edge) for edge in before.edges} == {"0->2", "1->2", "1->3", "2->3"}
    search.choices.decide("normal", 2, 4)
    after = {str(edge): edge.operation for edge in read_decided(search).cells["normal"].edges}
    assert after["0->3"] == "nor_conv_3x3"
    assert len(after) == 4
    search.choices.prune("normal", 3)
    last = {str(edge): edge.operation for edge in read_decided(search).cells["normal"].edges}
    assert last["2->3"] == "skip_connect"
    assert isinstance(read_decided(search), Genotype)


def test_greedy_selects_what_the_search_has_decided(tmp_path: Path) -> None:
    changes = {
        "schedule.epochs": 4,
        "schedule.greedy": {"warmup": 0, "every": 1, "batch_growth": 0},
        "selection.kind": "greedy",
    }
    search = finished(small_trial(tmp_path, **changes))
    decided = {
        (entry.cell, entry.edge): entry.operation
        for entry in search.decisions.entries
        if entry.operation
    }
    assert len(decided) == 8
    genotype = {
        (name, str(edge)): edge.operation
        for name, cell in search.genotype.cells.items()
        for edge in cell.edges
    }
    assert genotype == decided
