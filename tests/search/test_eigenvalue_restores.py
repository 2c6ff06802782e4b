"""The rule `eigenvalue`: what it restores, and what it is not combined with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_same_state, finished, small_trial

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.search import Search, total_epochs
from tune_nas.search.rules import eigenvalue
from tune_nas.tasks.search_task import SearchTask

SHORT = {"every": 1, "window": 3, "lag": 2, "start": 1}  # goes back by 1 + 2 epochs
# Of 8 epochs: at the 5th, the mean of (1, 1, 2) is 4/3 of that of (1, 1, 1) around the 2nd.
RISING = [1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]
Series = Callable[[Sequence[float]], None]


@pytest.fixture
def series(monkeypatch: pytest.MonkeyPatch) -> Series:
    """Return a function that prescribes the eigenvalue of each epoch that is run."""

    def prescribe(values: Sequence[float]) -> None:
        monkeypatch.setattr(
            eigenvalue, "hessian_eigenvalue", lambda search, _: float(values[search.epoch - 1])
        )

    return prescribe


def acting(tmp_path: Path, action: str = "stop", **changes: Any) -> TrialConfig:
    rule = {"action": action, **SHORT, "max_decay": 0.003}
    return small_trial(tmp_path, **{"schedule.epochs": 8, "schedule.eigenvalue": rule, **changes})


def test_the_search_ends_with_the_earlier_state_and_says_so(tmp_path: Path, series: Series) -> None:
    series(RISING)
    search = Search(acting(tmp_path))
    states = []
    while not search.done:
        search.run_epoch()
        states.append(copy.deepcopy(search.training_state()))
    assert search.epoch == search.epochs == 5
    assert_same_state(states[1], states[4])
    assert [metrics["genotype_epoch"] for metrics in search.history] == [1, 2, 3, 4, 2]
    reason = (
        "stopped at epoch 5 with the state of epoch 2: the dominant eigenvalue has grown by a "
        "factor of 1.33 since"
    )
    assert search.stop_reason == reason
    assert search.remarks()["ended"] == reason
    unlike = {"epoch", "seconds", "memory_mib", "learning_rate/weights", "hessian_eigenvalue"}
    unlike |= {"hessian_eigenvalue_mean"}
    second, last = search.history[1], search.history[4]
    assert {k: v for k, v in second.items() if k not in unlike} == {
        k: v for k, v in last.items() if k not in unlike
    }
    assert last["hessian_eigenvalue_mean"] == pytest.approx(4 / 3)
    shorter = Search(acting(tmp_path, **{"schedule.eigenvalue": None}))
    shorter.run_epoch(), shorter.run_epoch()
    assert shorter.genotype == search.genotype
    assert search.evaluate(search.expected_weights()) == (
        last["valid_loss"],
        last["valid_accuracy"],
    )


def test_a_rollback_restores_everything_but_the_weight_decay(
    tmp_path: Path, series: Series
) -> None:
    series(RISING)
    own = {"relaxation.kind": "concrete", "schedule.lr_rule": {"share": 0.0}}
    search = Search(acting(tmp_path, "roll-back", **own))
    states, factors = [], []
    while not search.done:
        search.run_epoch()
        state = copy.deepcopy(search.training_state())
        groups = state["optimisers"]["weights"]["param_groups"]
        assert groups[0].pop("weight_decay") == search.weight_decay
        states.append(state)
        factors.append(search.rate_factor)
    assert_same_state(states[1], states[4])  # the learning rate of the optimizer, too
    assert factors[:6] == [0.5, 0.25, 0.125, 0.1, 0.25, 0.125]
    assert search.epoch == search.epochs == 8 + 3 == total_epochs(search.trial)
    rows = search.history
    assert [row["weight_decay/weights"] for row in rows] == [3e-4] * 5 + [0.003] * 6
    assert [row["genotype_epoch"] for row in rows] == [1, 2, 3, 4, 2, *range(6, 12)]
    assert [row["epoch"] for row in rows] == list(range(1, 12))
    # The one batch of the epoch and its samples are those of epoch 3: the loss before the step.
    assert rows[5]["train_loss"] == rows[2]["train_loss"]
    for key in ("learning_rate/weights", "temperature"):
        values = [row[key] for row in rows]
        assert values[5:7] == values[2:4]
    assert rows[5]["valid_loss"] != rows[2]["valid_loss"]  # the step decays w more


def test_the_step_after_a_rollback_is_that_of_the_larger_decay(
    tmp_path: Path, series: Series
) -> None:
    """Without momentum: w' − w = −η·(g + decay·w), of which only the decay is another."""
    series(RISING)
    search = Search(acting(tmp_path, "roll-back", **{"optimizer.weights.momentum": 0.0}))
    for _ in range(2):
        search.run_epoch()
    before = [weight.detach().double().clone() for weight in search.supernet.parameters()]
    search.run_epoch()
    once = [weight.detach().double().clone() for weight in search.supernet.parameters()]
    for _ in range(3):
        metrics = search.run_epoch()
    assert metrics["epoch"] == 6
    rate = metrics["learning_rate/weights"]
    for weight, first, now in zip(before, once, search.supernet.parameters(), strict=True):
        expected = first - rate * (0.003 - 3e-4) * weight
        torch.testing.assert_close(now.detach().double(), expected, rtol=1e-6, atol=1e-7)
    search.restart_weights()
    assert search.optimizers.weights.param_groups[0]["weight_decay"] == 0.003


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        ("stop", {}),
        ("roll-back", {"relaxation.kind": "gumbel", "schedule.lr_rule": {"share": 0.0}}),
        (
            "stop",
            {
                "selection.kind": "perturbation",
                "selection.perturbation": {"interval": 1, "batches": 1},
            },
        ),
        (
            "roll-back",
            {"selection.kind": "sampled", "selection.sampled": {"genotypes": 2, "batches": 1}},
        ),
    ],
)
def test_a_search_killed_after_any_epoch_goes_on_to_the_bit(
    action: str, changes: dict[str, Any], tmp_path: Path, series: Series
) -> None:
    series(RISING)
    search = Search(acting(tmp_path, action, **{"schedule.epochs": 6, **changes}))
    while not search.done:
        search.save(tmp_path / "checkpoint")
        search.run_epoch()
        resumed = Search(search.trial)
        resumed.load(tmp_path / "checkpoint")
        resumed.run_epoch()
        assert_same_state(search.state_dict(), resumed.state_dict())
        assert search.genotype == resumed.genotype
        assert search.done == resumed.done
    tuning = 6 if changes.get("selection.kind") == "perturbation" else 0
    assert search.epoch == search.epochs == (5 + tuning if action == "stop" else 9)


def test_the_selection_goes_on_from_the_earlier_state(tmp_path: Path, series: Series) -> None:
    """Selecting with the state of epoch 2 is the same as searching for 2 epochs only."""
    series(RISING)
    own = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}
    own["optimizer.weights.learning_rate_min"] = 0.025  # a constant rate: the length has no part
    stopped = finished(acting(tmp_path, **own))
    without = {"schedule.eigenvalue": None, "schedule.epochs": 2}
    short = finished(acting(tmp_path, **own, **without))
    assert stopped.epoch - 5 == short.epoch - 2 == 6
    assert_same_state(stopped.training_state(), short.training_state())
    assert stopped.genotype == short.genotype


@pytest.mark.parametrize("action", ["stop", "roll-back"])
def test_another_selection_can_start_from_its_checkpoint(
    action: str, tmp_path: Path, series: Series
) -> None:
    series(RISING)
    search = Search(acting(tmp_path, action))
    while not search.done:
        assert search.epoch < total_epochs(search.trial)
        search.run_epoch()
    search.save(tmp_path / "end")
    own = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}
    other = finished(acting(tmp_path, action, start_from=str(tmp_path / "end"), **own))
    assert other.epoch == search.epoch + 6
    assert SearchTask().starts_after(other.trial) == total_epochs(search.trial)


def test_without_growth_every_bit_is_that_of_a_search_without_the_rule(
    tmp_path: Path, series: Series
) -> None:
    series([1.0] * 8)
    plain = finished(acting(tmp_path, **{"schedule.eigenvalue": None}))
    for action in ("stop", "roll-back"):
        search = finished(acting(tmp_path, action))
        assert_same_state(plain.training_state(), search.training_state())
        for before, after in zip(plain.history, search.history, strict=True):
            kept = {key: after[key] for key in before}
            assert_same_state(before, kept)


def test_the_probe_records_the_value_of_the_rule(tmp_path: Path, series: Series) -> None:
    series([3.0, 2.0, 1.0])
    rule = {**SHORT, "every": 2}
    own = {"schedule.epochs": 3, "schedule.eigenvalue": rule, "probes": ["hessian"]}
    search = finished(small_trial(tmp_path, **own))
    values = [metrics["hessian_eigenvalue"] for metrics in search.history]
    assert (values[0], values[2]) == (3.0, 1.0) and values[1] not in (1.0, 2.0, 3.0)
    assert len(str(search.artifacts()["hessian.csv"]).splitlines()) == 4


def test_a_checkpoint_from_before_there_was_the_rule_loads(tmp_path: Path) -> None:
    search = finished(small_trial(tmp_path))
    state = search.state_dict()
    del state["repeated"], state["trial"]["schedule"]["eigenvalue"]
    resumed = Search(search.trial)
    resumed.load_state_dict(state)
    assert_same_state(search.state_dict(), resumed.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"schedule.greedy": {}, "schedule.epochs": 50},
            "schedule.eigenvalue goes back to an earlier epoch, which would take back what "
            "schedule.greedy has decided; give one of them",
        ),
        (
            {"schedule.early_fixing": {}},
            "schedule.eigenvalue goes back to an earlier epoch, which would take back what "
            "schedule.early_fixing has decided; give one of them",
        ),
        (
            {"relaxation.kind": "controller", "update.level": "policy"},
            "schedule.eigenvalue is given, but relaxation.kind is 'controller', whose α no "
            "gradient moves: its curvature says nothing; take another relaxation or null",
        ),
        (
            {"optimizer.weights.weight_decay": 0.03},
            "optimizer.weights.weight_decay is 0.03, but must be > 0 and < "
            "schedule.eigenvalue.max_decay, 0.003, with schedule.eigenvalue.action 'roll-back', "
            "which increases it",
        ),
        (
            {"schedule.eigenvalue": {"start": 9}},
            "schedule.eigenvalue.start is 9, but the search has 8 epochs (schedule.epochs)",
        ),
        (
            {
                "relaxation.kind": "uniform-path",
                "update.level": "none",
                "selection.kind": "sampled",
            },
            "update.level is 'none', so that α never moves, but schedule.eigenvalue watches the "
            "curvature in α",
        ),
    ],
)
def test_what_makes_no_sense_together_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        acting(tmp_path, "roll-back", **changes)
    assert str(caught.value).endswith(message)
