"""The rule `eigenvalue`: when it acts, and the length of a search with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, cast

import pytest
from searching import tiny_trial

from tune_nas.config import TrialConfig, scaled
from tune_nas.config.options.eigenvalue_options import EigenvalueOptions
from tune_nas.library import with_overrides
from tune_nas.search import SearchControl, total_epochs
from tune_nas.search.rules import eigenvalue
from tune_nas.search.rules.eigenvalue import EigenvalueRule, has_grown, local_means
from tune_nas.tasks.search_task import SearchTask


def test_local_means_by_hand() -> None:
    assert local_means([1, 2], 5) == []
    assert local_means([1, 2, 6], 5) == [3]  # around the first value
    assert local_means([1, 2, 6, 3, 8, 11], 5) == [3, 3, 4, 6]
    assert local_means([1, 3, 5], 2) == [1, 2, 4]
    assert local_means([4, 7], 1) == [4, 7]


def test_growth_by_hand() -> None:
    assert has_grown([1.0, 9.0, 9.0, 9.0, 1.31], 4, 1.3)
    assert not has_grown([1.0, 9.0, 9.0, 9.0, 1.3], 4, 1.3)  # more than, not as much
    assert not has_grown([9.0, 9.0, 9.0, 9.0], 4, 1.3)
    assert not has_grown([0.0, 5.0], 1, 1.3)
    assert not has_grown([-1.0, -1.0], 1, 1.3)


class FakeSearch:
    """A search in which nothing but the schedule and the eigenvalue happens."""

    def __init__(self, trial: TrialConfig, values: Callable[[int], float]) -> None:
        self.trial, self.values = trial, values
        self.epoch = self.repeated = 0
        self.stopped: str | None = None
        self.weight_decay = trial.optimizer.weights.weight_decay
        self.went: list[tuple[int, int]] = []
        self.decays: list[float] = []
        self.most_snapshots = 0

    @property
    def schedule_epoch(self) -> int:
        return self.epoch - self.repeated

    @property
    def search_epochs(self) -> int:
        return self.epoch if self.stopped else self.trial.schedule.epochs + self.repeated

    def snapshot(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "schedule_epoch": self.schedule_epoch}

    def go_back(self, snapshot: dict[str, Any]) -> None:
        self.went.append((self.schedule_epoch - 1, snapshot["schedule_epoch"] - 1))
        self.repeated = self.epoch - snapshot["schedule_epoch"]

    def stop(self, reason: str) -> None:
        self.stopped = reason

    def set_weight_decay(self, weight_decay: float) -> None:
        self.weight_decay = weight_decay
        self.decays.append(weight_decay)

    def run(self) -> None:
        rule = EigenvalueRule(cast(SearchControl, self))
        while self.epoch < self.search_epochs:
            self.epoch += 1
            rule.after_epoch({})
            self.most_snapshots = max(self.most_snapshots, len(rule.state_dict()["snapshots"]))


def published(**rule: Any) -> TrialConfig:
    return tiny_trial(**{"schedule.epochs": 50, "schedule.eigenvalue": rule})


def stop_by_the_formula(values: Sequence[float]) -> tuple[int, int] | None:
    """Return the epochs (0-based) at which DARTS-ES stops and of its genotype, by the formula.

    λ̄(i): the mean of the eigenvalues of epochs i − 4, i − 2, …, i + 4; stop at i + 4 once
    λ̄(i) > 1.3 · λ̄(i − 8) and i − 8 >= 10.
    """
    for now in range(0, 49, 2):
        center, earlier = now - 4, now - 12
        if earlier < 10:
            continue
        of = {at: fmean(values[at - 4 : at + 5 : 2]) for at in (center, earlier)}
        if of[center] > 1.3 * of[earlier]:
            return now, earlier
    return None


@pytest.mark.parametrize("seed", range(40))
def test_a_series_stops_where_the_formula_says(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Falls, then rises at some epoch or never: the shape of the paper's Fig. 4, with noise."""
    own = random.Random(seed)
    turn, slope = own.randint(5, 60), own.choice([0.005, 0.02, 0.1])
    values = [
        0.2 + 0.3 / (1 + epoch) + slope * max(0, epoch - turn) + own.uniform(0, 0.05)
        for epoch in range(50)
    ]
    monkeypatch.setattr(eigenvalue, "hessian_eigenvalue", lambda s, _: s.values(s.epoch - 1))
    search = FakeSearch(published(), lambda epoch: values[epoch])
    search.run()
    expected = stop_by_the_formula(values)
    assert search.went == ([] if expected is None else [expected])
    assert search.epoch == (50 if expected is None else expected[0] + 1)
    assert (search.stopped is None) == (expected is None)
    assert search.most_snapshots <= 7
    assert search.decays == []


def test_the_formula_stops_some_series_and_not_others() -> None:
    assert stop_by_the_formula([0.5] * 50) is None
    # λ̄(18) = 0.5 + 4/5 > 1.3 · 0.5 = 1.3 · λ̄(10): the earliest epoch that the rule considers
    rising = [0.5] * 22 + [4.5] * 28
    assert stop_by_the_formula(rising) == (22, 10)


@pytest.mark.parametrize(
    ("rule", "decays"),
    [
        ({}, [3e-3, 0.03]),
        ({"decay_factor": 3, "max_decay": 0.0243}, [9e-4, 27e-4, 81e-4, 243e-4]),
        ({"decay_factor": 3, "max_decay": 0.03}, [9e-4, 27e-4, 81e-4, 243e-4, 0.03]),
    ],
)
def test_rollbacks_end_and_the_length_has_a_bound(
    rule: dict[str, Any], decays: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst series, which grows in every epoch that is run: as many rollbacks as decays."""
    monkeypatch.setattr(eigenvalue, "hessian_eigenvalue", lambda s, _: s.values(s.epoch))
    trial = published(action="roll-back", **rule)
    search = FakeSearch(trial, lambda epoch: 1.5**epoch)
    search.run()
    assert search.decays == pytest.approx(decays)
    assert all(back == at - 12 >= 10 for at, back in search.went)
    assert search.stopped is None and search.schedule_epoch == 50
    assert search.epoch == 50 + 12 * len(decays) == total_epochs(trial)
    assert SearchTask().epochs(trial) == search.epoch
    assert search.weight_decay == pytest.approx(rule.get("max_decay", 0.03))


def test_a_second_rollback_may_follow_soon_and_reach_further_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At epoch 30 to 18; then at 22, again growing, to 10: older than the first one reached."""
    run = [0.5] * 27 + [5.0] * 4 + [0.5] * 3 + [9.0] * 60
    monkeypatch.setattr(eigenvalue, "hessian_eigenvalue", lambda s, _: s.values(s.epoch - 1))
    search = FakeSearch(published(action="roll-back"), lambda epoch: run[epoch])
    search.run()
    (first, to), (second, further) = search.went
    assert to == first - 12 and further == second - 12 and further < to
    assert search.most_snapshots <= 13


@pytest.mark.parametrize(("epochs", "repeated"), [(23, 0), (24, 24), (50, 24)])
def test_a_search_too_short_to_go_back_is_not_longer(epochs: int, repeated: int) -> None:
    """The earliest epoch at which the published rule acts is 22 (0-based), and not the last."""
    assert EigenvalueOptions(action="roll-back").most_repeated(epochs, 3e-4) == repeated
    assert EigenvalueOptions(action="stop").most_repeated(epochs, 3e-4) == 0


def test_it_is_scaled_with_the_search() -> None:
    trial = published(action="roll-back")
    shorter = with_overrides(trial, scaled(trial.to_dict(), 25))
    assert shorter.schedule.eigenvalue is not None
    rule = shorter.schedule.eigenvalue
    assert (rule.every, rule.start, rule.window, rule.lag) == (1, 5, 5, 4)
    assert total_epochs(shorter) == 25 + 2 * 6
