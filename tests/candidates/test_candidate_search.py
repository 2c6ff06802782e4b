"""Black-box searches that train candidates: what is trained, told, kept and resumed."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_searches import (
    HALVING,
    RANDOM,
    RESTARTING,
    epochs_of,
    images_of,
    lasting,
    small_trial,
    trained,
)

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.candidates.candidate_states import FOLDER
from tune_nas.candidates.candidate_trial import candidate_trial
from tune_nas.data import load_data
from tune_nas.errors import CheckpointError, ConfigError, DivergedError
from tune_nas.retrain import Retrain
from tune_nas.strategies import Request, Strategy
from tune_nas.training import cosine


class Impossible(Strategy):
    """Asks for more epochs than a candidate may have."""

    def propose(self) -> Request | None:
        genotype = self.sample_new(self.rng("first"))
        return None if genotype is None else self.new(genotype, self.config.levels[-1] + 1)


def states(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / FOLDER).glob("*"))


def test_a_candidate_is_trained_on_one_half_and_evaluated_on_the_other() -> None:
    search = CandidateSearch(small_trial(RANDOM))
    halves = load_data(
        search.trial.data, seed=0, device=torch.device("cpu"), dtype=torch.float32, for_search=True
    )
    images, every = images_of(search), torch.arange(16)
    assert (images.n_train, len(images.test), images.held_out) == (16, 16, "valid")
    for own, half in ((images.train, halves.train), (images.test, halves.valid)):
        assert torch.equal(own.select(every).images, half.images)


def test_random_search_by_hand() -> None:
    """Two candidates of three epochs, and an epoch that is left; each as if trained on its own."""
    search = CandidateSearch(small_trial(RANDOM))
    found = epochs_of(search)
    assert [metrics["epoch"] for metrics in found] == [1, 2, 3, 4, 5, 6]
    assert [metrics["candidate"] for metrics in found] == [0, 0, 0, 1, 1, 1]
    assert [metrics["candidates"] for metrics in found] == [0, 0, 1, 1, 1, 2]
    assert [metrics["learning_rate"] for metrics in found] == 2 * [
        cosine(epoch, 3, 0.025) for epoch in range(3)
    ]
    alone = [trained(search, number, 3).history for number in (0, 1)]
    curve = [epoch["valid_accuracy"] for history in alone for epoch in history]
    assert [metrics["candidate_accuracy"] for metrics in found] == curve
    first, second = curve[2], curve[5]
    best = max(first, second)
    assert [metrics["valid_accuracy"] for metrics in found] == [*curve[:3], first, first, best]
    assert search.result() == search.jobs.strategy.standings[curve[2] < curve[5]].genotype
    assert search.remarks()["ended"] == (
        "the strategy asks for no further job, with 1 of 7 epochs left"
    )


def test_candidates_differ_in_their_seed_alone() -> None:
    """The seed follows from the genotype: not from the order, nor from the strategy."""
    trial = small_trial(HALVING, retrain__epochs=600)
    search = CandidateSearch(trial)
    epochs_of(search)
    one, other = (standing.genotype for standing in search.jobs.strategy.standings[:2])
    assert candidate_trial(trial, one).seed == candidate_trial(small_trial(RANDOM), one).seed
    assert candidate_trial(trial, one).seed != candidate_trial(trial, other).seed
    assert candidate_trial(trial, one).retrain.epochs == 5  # of the last level


def test_promoted_candidates_continue_where_they_stopped(tmp_path: Path) -> None:
    search = CandidateSearch(small_trial(HALVING), [str(tmp_path)])
    kept = []
    remarks = []
    found = []
    while not search.done:
        found.append(lasting(search.run_epoch()))
        kept.append(states(tmp_path))
        remarks.append(search.remarks().get("decisions", ""))
    standings = search.jobs.strategy.standings
    for standing in standings:
        history = trained(search, standing.candidate, standing.trained).history
        assert standing.accuracies == {
            epochs: history[epochs - 1]["valid_accuracy"] for epochs in standing.accuracies
        }
    assert [metrics["level"] for metrics in found[:10]] == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    promoted = [int(found[number]["candidate"]) for number in (4, 6, 8)]
    assert remarks[3] == f"candidate {promoted[0]} → 3 epochs"
    assert kept[3] == [f"0000{number}-1" for number in range(4)]
    # The states of the first level, from which two candidates have continued, are gone.
    assert f"0000{promoted[0]}-1" not in kept[8] and f"0000{promoted[0]}-3" in kept[8]
    assert kept[-1] == []


def test_restarted_candidates_have_the_schedule_of_their_level(tmp_path: Path) -> None:
    """The learning rate falls to the end of each level; nothing is stored, nor continued."""
    search = CandidateSearch(small_trial(RESTARTING), [str(tmp_path)])
    found = epochs_of(search)
    assert [metrics["learning_rate"] for metrics in found] == [
        *[0.025] * 4,
        *(cosine(epoch, 3, 0.025) for epoch in (0, 1, 2, 0, 1, 2)),
    ]
    for standing in search.jobs.strategy.standings:
        assert standing.accuracies == {
            epochs: trained(search, standing.candidate, epochs).history[-1]["valid_accuracy"]
            for epochs in standing.accuracies
        }
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize("strategy", [RANDOM, HALVING], ids=["random", "halving"])
@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
def test_it_is_killed_after_every_epoch_and_resumed(
    strategy: dict[str, Any], lost: bool, tmp_path: Path
) -> None:
    """Same metrics and files, also if the states of all paused candidates are lost or damaged."""
    trial = small_trial(strategy)
    checkpoints, folder = tmp_path / "checkpoints", tmp_path / "trial"
    whole = CandidateSearch(trial)
    expected = epochs_of(whole, checkpoints)
    search = CandidateSearch(trial, [str(folder)])
    found: list[dict[str, float]] = []
    while not search.done:
        search.save(tmp_path / "last")
        search.run_epoch()  # killed during this epoch
        for number, path in enumerate((folder / FOLDER).rglob("*.pt") if lost else ()):
            path.unlink() if number % 2 else path.write_bytes(b"damaged")
        search = CandidateSearch(trial, [str(folder), str(tmp_path / f"session {len(found)}")])
        torch.manual_seed(len(found))
        search.load(tmp_path / "last")
        found.append(lasting(search.run_epoch()))
    assert found == expected
    assert search.artifacts() == whole.artifacts()
    assert search.remarks() == whole.remarks()
    again = CandidateSearch(trial)
    again.load(checkpoints / "2")  # another process, and the rest in one session
    assert epochs_of(again) == expected[2:]


def test_a_diverged_candidate_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as failed, at the highest level too, and the others go on."""
    run_epoch = Retrain.run_epoch
    search = CandidateSearch(small_trial(HALVING))
    winner: list[int] = []

    def diverging(training: Retrain, on_step: Any = None) -> dict[str, float]:
        if training.epoch == 3 and not winner:  # the winner of the first bracket, at its last level
            winner.append(1)
            raise DivergedError("the train loss is nan in epoch 4")
        return run_epoch(training, on_step)

    monkeypatch.setattr(Retrain, "run_epoch", diverging)
    remarks, found = [], []
    while not search.done:
        found.append(search.run_epoch())
        remarks.append(search.remarks().get("decisions", ""))
    (failed,) = [text for text in remarks if "failed" in text]
    assert failed.endswith("failed: the train loss is nan in epoch 4")
    lost = [s for s in search.jobs.strategy.standings if s.accuracy == -math.inf]
    assert len(lost) == 1 and lost[0].trained == 5
    assert search.result() != lost[0].genotype
    assert all(math.isfinite(metrics["valid_accuracy"]) for metrics in found)
    epoch = found[remarks.index(failed)]
    assert "candidate_accuracy" not in epoch and "train_loss" not in epoch
    rows = list(csv.DictReader(search.artifacts()["candidates.csv"].splitlines()))
    assert [row["valid_accuracy"] for row in rows].count("") == 1


def test_it_fails_if_all_candidates_diverge() -> None:
    search = CandidateSearch(small_trial(RANDOM, retrain__learning_rate=1e30, retrain__clip=0))
    with pytest.raises(DivergedError, match=r"all \d candidates have diverged"):
        epochs_of(search)


def test_the_table_of_candidates() -> None:
    search = CandidateSearch(small_trial(HALVING))
    epochs_of(search)
    rows = list(csv.DictReader(search.artifacts()["candidates.csv"].splitlines()))
    ranking = search.jobs.strategy.ranking()
    assert [int(row["candidate"]) for row in rows] == [s.candidate for s in ranking]
    assert rows[0]["genotype"] == str(search.result())
    assert rows[0]["accuracy_5"] == rows[0]["valid_accuracy"] == f"{ranking[0].accuracy:.4f}"
    assert rows[-1]["accuracy_5"] == "" and rows[-1]["accuracy_1"] != ""
    # 4 · 1 + 2 · 2 epochs, then the 2 of the last level
    winner = next(row for row in rows if row["epochs"] == "5")
    assert winner["spent_epochs"] == "10"


def test_checkpoints_of_other_searches_are_refused(tmp_path: Path) -> None:
    search = CandidateSearch(small_trial(RANDOM))
    search.run_epoch()
    search.save(tmp_path)
    for settings, key in (
        ({"strategy.budget": 9}, "strategy.budget"),
        ({"retrain.learning_rate": 0.1}, "retrain.learning_rate"),
        ({"seed": 1}, "seed"),
        ({"data.train_portion": 0.25}, "data.train_portion"),
    ):
        other = CandidateSearch(small_trial(RANDOM, **settings))
        with pytest.raises(CheckpointError, match=f"of another trial: {key} differ"):
            other.load(tmp_path)
    same = CandidateSearch(small_trial(RANDOM, retrain__epochs=20))  # of the later retraining
    same.load(tmp_path)
    assert same.epoch == 1


def test_what_does_not_fit_is_told() -> None:
    own = {**RANDOM, "kind": f"{__name__}:Impossible"}
    with pytest.raises(ConfigError, match=r"Impossible': 4 epochs are not among strategy\.levels"):
        CandidateSearch(small_trial(own)).run_epoch()
    with pytest.raises(ConfigError, match=r"retrain\.warmup_epochs is 4, but must be <= 3"):
        CandidateSearch(small_trial(RANDOM, retrain__warmup_epochs=4))
    with pytest.raises(ConfigError, match=r"retrain\.batch_size is 1, but must be >= 2"):
        small = {"retrain__batch_size": 1, "retrain__auxiliary_weight": 0}
        CandidateSearch(small_trial(RANDOM, data__resolution=4, **small)).check()
