"""Selection by perturbation, where what the supernet loses is known beforehand."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from searching import finished, small_trial, tiny_trial
from torch import Tensor, nn

from tune_nas.config import TrialConfig
from tune_nas.search import Search, total_epochs
from tune_nas.search.ablation import perturbed_choice, without_edges, without_operations
from tune_nas.search.selection import Perturbation
from tune_nas.search.smoothing import RandomSmoothing
from tune_nas.spaces import MixingWeights


class Known(nn.Module):
    """A supernet that is right on an image if what reaches it is more than the image asks for.

    The strength is the sum of weight × signal over all operations that run, times the edge's; of
    32 images the first asks for 0, the last for 31.
    """

    def __init__(self, signals: dict[str, Tensor]) -> None:
        super().__init__()
        self.signals = signals
        self.calls = 0

    def seed_draws(self, seed: int) -> None:
        """Draw nothing."""

    def forward(self, images: Tensor, weights: MixingWeights) -> Tensor:
        self.calls += 1
        strength = sum(
            float((weights[name].operations * weights[name].active * signal).sum())
            for name, signal in self.signals.items()
        )
        asked = images[:, 0, 0, 0]
        right = asked < strength
        logits = torch.zeros(len(images), 2)
        logits[torch.arange(len(images)), right.long()] = 1.0
        return logits


def known_search(trial: TrialConfig, signals: dict[str, Tensor]) -> Search:
    search = Search(trial)
    search.supernet = Known(signals)  # type: ignore[assignment]
    search.objective = type(search.objective)(
        search.supernet, search.relaxation, search.alphas, search.betas
    )
    images = torch.arange(32.0)[:, None, None, None].expand(32, 3, 1, 1)
    labels = torch.ones(32, dtype=torch.int64)
    search.data = _Half(images, labels)  # type: ignore[assignment]
    return search


class _Half:
    """Valid images as they are, in two batches."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.valid = range(32)

    def evaluation_batches(self, images: Any, size: int) -> Any:
        index = torch.tensor(list(images))
        return iter([(self.images[part], self.labels[part]) for part in index.split(16)])


def signals_of(trial: TrialConfig) -> dict[str, Tensor]:
    search = Search(trial)
    return {
        name: torch.zeros(len(cell.edges), cell.n_operations)
        for name, cell in search.space.cells.items()
    }


def test_the_operation_that_the_supernet_needs_is_chosen_whatever_its_weight_is() -> None:
    trial = tiny_trial()
    signals = signals_of(trial)
    # On edge 2 the pool carries 20 at a weight of 0.1, the 3×3 convolution 5 at 0.5.
    signals["normal"][2] = torch.tensor([0.0, 0.0, 0.0, 10.0, 200.0])
    search = known_search(trial, signals)
    shares = torch.tensor([0.1, 0.2, 0.1, 0.5, 0.1])
    with torch.no_grad():
        search.alphas["normal"][2] = shares.log()
    found = without_operations(search, "normal", 2)
    # all: strength 25, right on the images 0 … 24; without the convolution 20, without the pool 5
    accuracies = [100 * n / 32 for n in (25, 25, 25, 20, 5)]
    assert [evaluation.accuracy for evaluation in found] == pytest.approx(accuracies)
    right, wrong = math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(1.0))
    losses = [(n * right + (32 - n) * wrong) / 32 for n in (25, 25, 25, 20, 5)]
    assert [evaluation.loss for evaluation in found] == pytest.approx(losses)
    assert perturbed_choice(search, "normal", 2) == 4
    assert int(search.expected_weights()["normal"].operations[2].argmax()) == 3


def test_ties_go_to_the_earlier_operation_and_batches_are_counted() -> None:
    trial = tiny_trial(**{"selection.perturbation.batches": 1})
    search = known_search(trial, signals_of(trial))
    assert perturbed_choice(search, "normal", 0) == 0
    assert search.supernet.calls == 5


def test_operations_that_no_genotype_has_are_not_candidates(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path))
    assert [e.what for e in without_operations(search, "normal", 0)] == [1, 2, 3, 4]
    narrowed = torch.ones(5, 5, dtype=torch.bool)
    narrowed[0, 1:4] = False
    search.choices.keep("normal", narrowed)
    assert [e.what for e in without_operations(search, "normal", 0)] == [4]
    narrowed[0] = False
    search.choices.keep("normal", narrowed)
    with pytest.raises(ValueError, match="edge 0 of cell 'normal' has no operation left"):
        perturbed_choice(search, "normal", 0)


def test_an_evaluation_changes_nothing(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path))
    before = {key: value.clone() for key, value in search.supernet.state_dict().items()}
    draws = search._draws.get_state()
    without_operations(search, "normal", 0)
    without_edges(search, "reduction", [0, 1])
    assert all(
        torch.equal(value, before[key]) for key, value in search.supernet.state_dict().items()
    )
    assert torch.equal(draws, search._draws.get_state())
    assert search.choices.is_untouched("normal")


def test_a_trained_supernet_misses_the_operations_that_carry_it(tmp_path: Path) -> None:
    """On each edge one convolution was trained, the others are zero: that one must be chosen."""
    path = tmp_path / "convolutions.yaml"
    names = ["nor_conv_1x1", "dil_conv_3x3", "nor_conv_3x3"]
    cell = {"inputs": 1, "nodes": 2, "edges": "all", "operations": names, "output": "last"}
    skeleton = {"layout": "stages", "init_channels": 8, "cells": 1, "stem_multiplier": 1}
    path.write_text(yaml.safe_dump({"cells": {"normal": cell}, "skeleton": skeleton}))
    trial = tiny_trial(
        **{
            "space": {"name": str(path)},
            "data": {
                "name": "digits",
                "train_images": 240,
                "augment": {"crop_padding": 0, "flip": False},
            },
            "schedule.epochs": 4,
            "schedule.batch_size": 20,
            "optimizer.weights.learning_rate": 0.1,
            "update.level": "none",
            "selection.kind": "perturbation",
        }
    )
    carriers = [2, 0, 2]
    search = Search(trial)
    alone = torch.zeros(3, 3, dtype=torch.bool)
    alone[range(3), carriers] = True
    everything = search.choices.state_dict()
    search.choices.keep("normal", alone)
    for _ in range(4):
        search.run_epoch()
    search.choices.load_state_dict(everything)
    with torch.no_grad():
        for name, parameter in search.supernet.named_parameters():
            if ".edges." in name:
                row, column = (int(part) for part in name.split(".edges.")[1].split(".")[:2])
                if column != carriers[row]:
                    parameter.zero_()
        for row, column in enumerate(carriers):  # α is for another one
            search.alphas["normal"][row] = 0.0
            search.alphas["normal"][row, (column + 1) % 3] = 1.0
    whole = search.evaluate(search.expected_weights(), batch_statistics=True)[1]
    assert whole > 50  # of ten classes
    for row, column in enumerate(carriers):
        found = {e.what: e.accuracy for e in without_operations(search, "normal", row)}
        others = [accuracy for what, accuracy in found.items() if what != column]
        assert others == [whole, whole]
        assert found[column] < whole - 5
        assert perturbed_choice(search, "normal", row) == column
        assert int(search.expected_weights()["normal"].operations[row].argmax()) != column


def test_the_length_of_the_published_selection() -> None:
    pt = {"selection.kind": "perturbation"}
    darts = tiny_trial(space={"name": "darts-no-none"}, **pt, **{"schedule.epochs": 50})
    assert total_epochs(darts) == 50 + 81  # 14 edges, 3 nodes, 5 epochs between two
    assert Search(darts).epochs == 131
    every = {"selection.perturbation.interval": 10}
    assert total_epochs(tiny_trial(space={"name": "darts"}, **pt, **every)) == 3 + 161
    assert total_epochs(tiny_trial(**pt)) == 3 + 26
    assert total_epochs(tiny_trial()) == 3
    greedy = {"schedule.greedy": {"warmup": 0, "every": 1}, "schedule.epochs": 6}
    assert total_epochs(tiny_trial(**pt, **greedy)) == 6


@pytest.mark.parametrize(
    ("order", "edges", "topology"),
    [
        # evaluations that decide the edges of a cell
        ("random", "alone", 3 + 4 + 5),
        ("fixed", "one-by-one", 3 + (4 + 3) + (5 + 4 + 3)),
    ],
)
def test_the_published_order_of_decisions(
    order: str, edges: str, topology: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = tiny_trial(
        **{
            "space": {"name": "darts-no-none", "init_channels": 2, "cells": 3},
            "selection.kind": "perturbation",
            "selection.perturbation.order": order,
            "selection.perturbation.edges": edges,
            "schedule.epochs": 1,
        }
    )
    search = Search(trial)
    calls = []

    def evaluate(*arguments: Any, **further: Any) -> tuple[float, float]:
        calls.append(further)
        return 0.0, float(len(calls) % 7)

    monkeypatch.setattr(search, "evaluate", evaluate)
    selection = search.selection
    assert isinstance(selection, Perturbation)
    events = []
    for epoch in range(selection.tuning_epochs):
        done = len(search.decisions.entries)
        selection.decide(epoch)
        search.decisions.see(epoch)
        events.append(search.decisions.entries[done:])
    assert len(calls) == 2 * (14 * 7 + topology)
    assert all(call == {"batch_statistics": True} for call in calls)
    due = [epoch for epoch, entries in enumerate(events) if entries]
    assert due == list(range(0, 81, 5))
    for epoch in range(0, 70, 5):
        assert [entry.cell for entry in events[epoch]] == ["normal", "reduction"]
        assert all(entry.operation for entry in events[epoch])
    for name in ("normal", "reduction"):
        gone = [sum(entry.cell == name for entry in events[epoch]) for epoch in (70, 75, 80)]
        assert sorted(gone) == [1, 2, 3]
    assert not any(entry.operation for epoch in (70, 75, 80) for entry in events[epoch])
    decided = [entry.edge for epoch in range(0, 70, 5) for entry in events[epoch][:1]]
    in_order = [str(edge) for edge in search.space.cells["normal"].edges]
    assert sorted(decided) == sorted(in_order)
    assert (decided == in_order) == (order == "fixed")
    search.genotype.check(search.space)
    for name, cell in search.space.cells.items():
        assert not search.choices.open(name)
        present = {
            str(cell.edges[row]) for row in range(14) if not search.choices.pruned(name)[row]
        }
        assert {str(edge) for edge in search.genotype.cells[name].edges} == present


def test_the_least_harmful_edge_is_removed(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **{"selection.kind": "perturbation"})
    signals = signals_of(trial)
    # edges into node 3: 0->3 carries 8, 1->3 carries 2, 2->3 carries 10; weights are 1
    signals["normal"][2:, 4] = torch.tensor([8.0, 2.0, 10.0])
    search = known_search(trial, signals)
    for name in search.space.cells:
        for row in range(5):
            search.choices.decide(name, row, 4)
    search.selection.decide(0)  # type: ignore[attr-defined]
    assert search.choices.pruned("normal").tolist() == [False, False, False, True, False]
    rows = list(csv.DictReader(io.StringIO(search.selection.files()["perturbation.csv"])))
    normal = [row for row in rows if row["cell"] == "normal"]
    assert [row["edge"] for row in normal] == ["0->3", "1->3", "2->3"]
    assert [float(row["accuracy"]) for row in normal] == [100 * n / 32 for n in (12, 18, 10)]
    assert [row["chosen"] for row in normal] == ["0", "1", "0"]
    # all equal in the other cell: the earlier edges stay
    assert search.choices.pruned("reduction").tolist() == [False, False, False, False, True]


def test_tuning_is_at_the_published_rates_from_a_new_optimizer(tmp_path: Path) -> None:
    changes = {
        "selection.kind": "perturbation",
        "selection.perturbation.interval": 1,
        "schedule.epochs": 1,
    }
    search = Search(small_trial(tmp_path, **changes))
    search.run_epoch()
    assert search.optimizers.weights.state
    search.selection.before_epoch()
    assert not search.optimizers.weights.state
    n = search.selection.tuning_epochs
    assert n == 6
    rates = [search.run_epoch()["learning_rate/weights"] for _ in range(n)]
    assert rates == pytest.approx([0.0025] * n)


def test_while_it_tunes_w_is_smoothed_with_the_last_radius_and_judged_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoothing = {"kind": "random", "start": 0.1, "end": 0.3}
    changes = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}
    trial = small_trial(
        tmp_path, **changes, **{"schedule.epochs": 2, "relaxation.smoothing": smoothing}
    )
    radii: list[float] = []
    perturbed = RandomSmoothing.perturbed

    def seen(self: RandomSmoothing, *arguments: Any) -> Any:
        radii.append(self.radius)
        return perturbed(self, *arguments)

    monkeypatch.setattr(RandomSmoothing, "perturbed", seen)
    search = finished(trial)
    assert search.steps_per_epoch == 1 and search.selection.tuning_epochs == 6
    assert radii == pytest.approx([0.1, 0.2] + [0.3] * 6)  # once for each step of w, and no more
    assert [metrics["smoothing_radius"] for metrics in search.history] == radii


def test_decided_edges_keep_their_alpha_and_open_ones_go_on(tmp_path: Path) -> None:
    changes = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}
    search = finished(small_trial(tmp_path, **changes, **{"schedule.epochs": 1}))
    history = search._alpha_history.state_dict()["alphas"]
    decided = {
        (entry.cell, entry.edge): entry.epoch
        for entry in reversed(search.decisions.entries)
        if entry.operation
    }
    assert len(decided) == 10
    for name, cell in search.space.cells.items():
        for row, edge in enumerate(cell.edges):
            epoch = decided[name, str(edge)]
            values = [alphas[row] for alphas in history[name]]  # after the epochs 1, 2, …
            for before in range(epoch - 2):
                assert not torch.equal(values[before], values[before + 1])
            assert all(torch.equal(value, values[epoch - 2]) for value in values[epoch - 1 :])
    last = search.history[-1]
    assert last["decided_edges/normal"] == 4
    assert last["pruned_edges/normal"] == 1
    assert search.history[1]["decided_edges/reduction"] == 1
    assert "decided_edges/reduction" not in search.history[0]
