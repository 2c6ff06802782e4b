"""Searches in a shared process: same results, separate checkpoints, lost hosts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, ConfigError, StorageError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.sweep import RunOptions, run_sweep
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.cluster import searches_per_process, trials_at_once
from tune_nas.sweep.ray.search_worker import SearchWorker, hosting
from tune_nas.sweep.ray.shared_process import Lease, SharedProcessTrainable
from tune_nas.sweep.resolve import load_sweep

TINY: dict[str, Any] = {
    "space": {"name": "nasbench201", "init_channels": 4, "cells": 1},
    "data": {"name": "fake", "train_images": 64, "resolution": 8},
    "schedule": {"epochs": 3, "batch_size": 16},
    "update": {"level": "mixed"},
    "runtime": {"dtype": "float64", "device": "cpu"},
}
EXACT = 1e-9


def truth(trial: TrialConfig) -> list[dict[str, float]]:
    """Return the results of a search that runs alone, epoch by epoch."""
    search = Search(trial)
    while not search.done:
        search.run_epoch()
    return search.history


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, float]]) -> None:
    assert [each["epoch"] for each in found] == [each["epoch"] for each in expected]
    for ours, theirs in zip(found, expected, strict=True):
        for key in ("train_loss", "valid_loss", "valid_accuracy", "entropy/normal"):
            assert ours[key] == pytest.approx(theirs[key], rel=EXACT)


def test_a_sweep_of_shared_processes_has_the_results_of_one_of_processes_of_their_own(
    tmp_path: Path, ray_session: None
) -> None:
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(TINY))
    content = {
        "trial": str(tmp_path / "trial.yaml"),
        "parameters": {"update.lambda": {"grid": [0, 1, float("inf")]}},
        "retrain": 0,
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    sweep = load_sweep(tmp_path / "sweep.yaml")
    where = {"storage": str(tmp_path / "runs"), "quiet": True, "cpus_per_trial": 0.4}
    run_sweep(sweep, RunOptions(**where, together=2, concurrency=3), "shared")
    results = [
        json.loads(path.read_text())
        for path in sorted((tmp_path / "runs/shared/search/records").glob("*.json"))
    ]
    assert [result["status"] for result in results] == ["finished"] * 3
    for result in results:
        trial = TrialConfig.model_validate(result["job"]["trial"])
        assert_same(result["history"], truth(trial))


def test_a_trial_outlives_its_host_and_checkpoints_hold_it_alone(
    tmp_path: Path, ray_session: None
) -> None:
    import ray

    trials = [with_overrides(TINY, {"seed": seed}) for seed in (1, 2)]
    jobs = [Job(f"search-{t.seed}", "search", "search", t) for t in trials]
    with hosting(2, 2, cpus=0.3, gpus=0) as hosts:

        class Hosted(SharedProcessTrainable):
            def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]
                super().setup(config, hosts=hosts)

        def start(job: Job) -> Hosted:
            return Hosted({"job": job.to_dict(), "resume_from": [], "recorded": 0})

        running = [start(job) for job in jobs]
        for trainable, job in zip(running, jobs, strict=True):
            trainable.step()
            (tmp_path / job.id / "checkpoint_000000").mkdir(parents=True)
            trainable.save_checkpoint(str(tmp_path / job.id / "checkpoint_000000"))
        assert ray.get(hosts[0].free.remote()) == 0
        start(jobs[1]).stop()  # a process that Ray has started, and then does not need
        assert ray.get(hosts[0].free.remote()) == 0
        running[1].cleanup()
        assert ray.get(hosts[0].free.remote()) == 1
        ray.kill(hosts[0], no_restart=False)
        with pytest.raises(ray.exceptions.RayError):
            running[0].step()
        again = start(jobs[0])
        again.load_checkpoint(str(tmp_path / jobs[0].id / "checkpoint_000000"))
        reports = [again.step() for _ in range(2)]
        assert_same(reports, truth(trials[0])[1:])
        assert reports[-1]["done"]
        again.cleanup()
    alone = Search(trials[1])
    alone.load(tmp_path / jobs[1].id / "checkpoint_000000")
    while not alone.done:
        alone.run_epoch()
    assert_same(alone.history, truth(trials[1]))


def test_a_slot_is_free_once_its_trial_has_left_or_was_not_heard_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tune_nas.sweep.ray import search_worker as module

    trials = [with_overrides(TINY, {"seed": seed}) for seed in (1, 2)]
    one, two = (Job(f"search-{t.seed}", "search", "search", t) for t in trials)
    host = module.SearchWorker(1)
    first, second, other = Lease.new(one.id), Lease.new(one.id), Lease.new(two.id)
    assert host.acquire(one, first) is not None and host.free() == 0
    assert host.acquire(two, other) is None
    again = host.acquire(one, second)  # its own process was lost
    assert again is not None and again.epoch == 0
    host.release(second)
    broken = replace(two, trial=with_overrides(two.trial, {"start_from": "/nowhere"}))
    with pytest.raises(CheckpointError):
        host.acquire(broken, other)
    assert host.free() == 1
    assert host.acquire(two, other) is not None and host.free() == 0
    later = module.time.monotonic() + 2 * module._LONGEST_PAUSE
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    assert host.free() == 1


def test_a_late_request_of_an_earlier_process_does_not_touch_the_slot_of_the_next() -> None:
    """Ray stops the process of a failed trial while the next one starts."""
    job = Job("search-1", "search", "search", with_overrides(TINY, {}))
    host = SearchWorker(2)
    earlier, now = Lease.new(job.id), Lease.new(job.id)
    assert host.acquire(job, earlier) is not None
    host.run_epoch(earlier)
    state = host.files(earlier)
    assert host.acquire(job, now) is not None and host.free() == 1
    host.restore(now, state)
    host.release(earlier)
    host.release_others(now)  # sent before `acquire`, and run after it
    assert host.free() == 1
    found, progress = host.run_epoch(now)
    assert_same([found], truth(job.trial)[1:2])
    assert progress.epoch == 2
    for late in (host.run_epoch, host.files):
        with pytest.raises(StorageError, match="slot of trial search-1 was released") as raised:
            late(earlier)
        assert raised.value.passing  # a retry may succeed
    assert host.free() == 1


def test_a_slot_that_is_released_during_an_epoch_is_free_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = Job("search-1", "search", "search", with_overrides(TINY, {}))
    host = SearchWorker(1)
    earlier, now = Lease.new(job.id), Lease.new(job.id)
    host.acquire(job, earlier)
    run_epoch = Search.run_epoch

    def meanwhile(search: Search, *arguments: Any) -> dict[str, float]:
        host.release_others(now)
        return run_epoch(search, *arguments)

    monkeypatch.setattr(Search, "run_epoch", meanwhile)
    assert host.run_epoch(earlier)[1].epoch == 1
    assert host.free() == 1


def test_what_a_search_in_a_host_raises_is_said_in_its_own_words(
    tmp_path: Path, ray_session: None
) -> None:
    trial = with_overrides(TINY, {})
    with hosting(1, 2, cpus=0.3, gpus=0) as hosts:

        class Hosted(SharedProcessTrainable):
            def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]
                super().setup(config, hosts=hosts)

        job = Job("search-0", "search", "search", trial)
        trainable = Hosted({"job": job.to_dict(), "resume_from": [], "recorded": 0})
        trainable.step()
        with pytest.raises(CheckpointError, match="no whole checkpoint"):
            trainable._learner.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"together": 0}, "`together` is 0, but must be >= 1"),
        ({"together": 8, "gpus_per_trial": 0.5}, "`together` is 8 with `gpus_per_trial` 0.5"),
    ],
)
def test_senseless_options_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RunOptions(**changes)


@pytest.mark.parametrize(
    ("nodes", "changes", "size", "at_once"),
    [
        ([{"CPU": 2}], {"together": 8}, 2, 2),
        ([{"CPU": 8}], {"together": 4}, 4, 8),
        ([{"CPU": 3}, {"CPU": 3}], {"together": 2}, 2, 4),  # the third CPU of each has no pair
        ([{"CPU": 2}, {"CPU": 8}], {"together": 4}, 4, 8),
        ([{"CPU": 8}], {"together": 4, "concurrency": 3}, 4, 3),
        ([{"CPU": 32, "GPU": 2}, {"CPU": 4}], {"together": 4, "gpus_per_trial": 0.25}, 4, 8),
    ],
)
def test_a_process_and_its_searches_are_on_one_node(
    nodes: list[dict[str, float]],
    changes: dict[str, Any],
    size: int,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    monkeypatch.setattr(
        ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes]
    )
    options = RunOptions(**changes)
    assert searches_per_process(options) == size
    assert trials_at_once(options) == at_once
