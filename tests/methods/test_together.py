"""Searches whose passes run as one: each must end as it does alone, and resume either way."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Recorder
from supernet_trials import SUPERNET_TRIALS

from tune_nas.config import TrialConfig
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.together import Together

# What draws which operations run, or draws inside of them, is like no other pass.
BY_THEMSELVES = (
    *("gdas", "gdas-code", "gaea-gdas", "milenas-gumbel", "milenas-gumbel-code", "rsps"),
    *("dsnas", "proxylessnas", "parsec", "dropnas", "enas"),
)
DOUBLE = {"runtime.dtype": "float64"}


def run(searches: Sequence[Search], together: Together, epochs: int | None = None) -> None:
    """Run searches in a thread each, for so many epochs or to their ends."""
    begin = threading.Barrier(len(searches))

    def run_one(search: Search) -> None:
        last = math.inf if epochs is None else search.epoch + epochs
        with together.attended():
            begin.wait(timeout=60)  # nobody runs by itself because others are not there yet
            search.run_epoch()
        while not search.done and search.epoch < last:
            with together.attended():
                search.run_epoch()

    with ThreadPoolExecutor(len(searches)) as pool:
        for outcome in [pool.submit(run_one, search) for search in searches]:
            outcome.result(timeout=120)


def alone(trial: TrialConfig) -> Search:
    search = Search(trial)
    while not search.done:
        search.run_epoch()
    return search


def farthest(one: Any, other: Any) -> float:
    """Return the largest difference of two states, over the largest value of its tensor."""
    if isinstance(one, torch.Tensor):
        if not one.is_floating_point():
            assert torch.equal(one, other)
            return 0.0
        if not one.numel():
            return 0.0
        return float((one - other).abs().max() / one.abs().max().clamp(min=1e-12))
    if isinstance(one, Mapping):
        assert one.keys() == other.keys()
        return max((farthest(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        return max((farthest(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    assert type(one) is type(other)
    if isinstance(one, float):
        return 0.0 if one == other else abs(one - other) / max(abs(one), 1e-12)
    assert one == other
    return 0.0


def compared(state: dict[str, Any]) -> dict[str, Any]:
    """Return what of a search's state tells how it went."""
    keys = ("supernet", "alphas", "betas", "optimisers", "draws", "train_batches", "choices")
    return {key: state[key] for key in keys}


def three(trial: TrialConfig) -> list[TrialConfig]:
    """Return a trial thrice, with other seeds and rates; and with other λ where it has one."""
    changes: list[dict[str, Any]] = [
        {"seed": seed, "optimizer.weights.learning_rate": rate}
        for seed, rate in ((1, 0.02), (2, 0.03), (3, 0.025))
    ]
    if trial.update.level == "mixed" and not trial.update.phases and trial.update.lambda_:
        for change, value in zip(changes, (0.5, 1.0, 2.0), strict=True):
            change["update.lambda"] = value
    return [with_overrides(trial, {**DOUBLE, **change}) for change in changes]


@pytest.mark.parametrize("name", SUPERNET_TRIALS)
def test_each_search_ends_as_it_does_alone(name: str, shrink: Any) -> None:
    trials = three(shrink(name))
    together = Together()
    searches = [Search(trial, together) for trial in trials]
    run(searches, together)
    assert together.stacked_passes > 0 or name in BY_THEMSELVES
    for trial, search in zip(trials, searches, strict=True):
        truth = alone(trial)
        assert farthest(compared(search.state_dict()), compared(truth.state_dict())) < 1e-9
        assert search.genotype == truth.genotype
        for ours, theirs in zip(search.history, truth.history, strict=True):
            assert ours["valid_accuracy"] == pytest.approx(theirs["valid_accuracy"], rel=1e-9)


@pytest.mark.parametrize("name", BY_THEMSELVES)
def test_equal_paths_are_run_as_one(name: str, shrink: Any) -> None:
    changes = ({**DOUBLE, "optimizer.weights.learning_rate": rate} for rate in (0.02, 0.03))
    trials = [with_overrides(shrink(name), change) for change in changes]
    together = Together()
    searches = [Search(trial, together) for trial in trials]
    run(searches, together)
    assert together.stacked_passes > 0
    for trial, search in zip(trials, searches, strict=True):
        assert farthest(compared(search.state_dict()), compared(alone(trial).state_dict())) < 1e-9


def test_one_step_is_equal_to_twelve_digits(shrink: Any) -> None:
    trials = three(shrink("milenas", **{"schedule.epochs": 1}))
    together = Together()
    searches = [Search(trial, together) for trial in trials]
    run(searches, together)
    for trial, search in zip(trials, searches, strict=True):
        truth = alone(trial)
        assert farthest(search.state_dict()["alphas"], truth.state_dict()["alphas"]) < 1e-12
        assert farthest(search.state_dict()["supernet"], truth.state_dict()["supernet"]) < 1e-12


@pytest.mark.parametrize("name", ["milenas", "pc-darts", "p-darts"])
def test_checkpoints_go_on_alone_and_together(name: str, shrink: Any, tmp_path: Path) -> None:
    trials = three(shrink(name))
    together = Together()
    searches = [Search(trial, together) for trial in trials]
    run(searches, together, epochs=1)
    for search in searches:
        search.save(tmp_path / str(search.trial.seed))
    again = Together()
    resumed = [Search(trial, again) for trial in trials[:2]]
    single = Search(trials[2])
    for search in (*resumed, single):
        search.load(tmp_path / str(search.trial.seed))
    run(resumed, again)
    while not single.done:
        single.run_epoch()
    for trial, search in zip(trials, (*resumed, single), strict=True):
        truth = alone(trial)
        assert farthest(compared(search.state_dict()), compared(truth.state_dict())) < 1e-9


def test_a_checkpoint_holds_one_search_alone(shrink: Any, tmp_path: Path) -> None:
    trials = three(shrink("darts-1st"))
    together = Together()
    searches = [Search(trial, together) for trial in trials]
    run(searches, together, epochs=1)
    searches[0].save(tmp_path / "together")
    single = Search(trials[0])
    single.run_epoch()
    single.save(tmp_path / "alone")
    sizes = [(tmp_path / name / "search.pt").stat().st_size for name in ("together", "alone")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_a_search_that_fails_stops_no_other(shrink: Any) -> None:
    trials = three(shrink("darts-1st"))
    together = Together()
    broken = with_overrides(trials[0], {"optimizer.weights.learning_rate": 1e200})
    searches = [Search(trial, together) for trial in (broken, *trials[1:])]
    with pytest.raises(Exception, match="loss is"):
        run(searches, together)
    for trial, search in zip(trials[1:], searches[1:], strict=True):
        assert search.done
        assert farthest(compared(search.state_dict()), compared(alone(trial).state_dict())) < 1e-9


def test_supernets_of_other_sizes_run_in_groups(shrink: Any) -> None:
    wide = [with_overrides(trial, {"space.init_channels": 4}) for trial in three(shrink("milenas"))]
    trials = [*three(shrink("milenas"))[:2], *wide[:2], wide[2]]
    together = Together()
    searches = [Search(trial, together) for trial in trials]
    run(searches, together)
    for trial, search in zip(trials, searches, strict=True):
        assert farthest(compared(search.state_dict()), compared(alone(trial).state_dict())) < 1e-9


def test_passes_that_are_captured_give_the_same(shrink: Any) -> None:
    trials = three(shrink("milenas", **{"schedule.steps_per_epoch": 4}))
    recorder = Recorder()
    together = Together(recorder)
    searches = [Search(trial, together) for trial in trials]
    run(searches, together)
    assert sum(recording.replays for recording in recorder.recordings) > 0
    for trial, search in zip(trials, searches, strict=True):
        assert farthest(compared(search.state_dict()), compared(alone(trial).state_dict())) < 1e-9


def test_searches_that_ended_are_let_go(shrink: Any) -> None:
    trials = three(shrink("darts-1st", **{"schedule.epochs": 1}))
    together = Together()
    searches = [Search(trial, together) for trial in trials]
    run(searches, together)
    left = [weakref.ref(search.supernet) for search in searches]
    del searches
    gc.collect()
    assert [reference() for reference in left] == [None] * 3
