"""Trials that share epochs: the same results as without sharing, with kills, in this process."""

from __future__ import annotations

import math
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sharing_standin import SHARING, SWITCH, epochs_run
from standin import interrupt_after, write_sweep

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.local_execution import LocalPhaseRunner
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phases import phases_of, read_records
from tune_nas.sweep.ray.reports import report_of
from tune_nas.sweep.ray.scheduler import Asha
from tune_nas.sweep.resolve import base_trials, load_sweep
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.sharing.courses import asha_stops
from tune_nas.sweep.sharing.sharing import Sharing
from tune_nas.sweep.sharing.sharing_source import SharingSource
from tune_nas.sweep.sources import ListSource
from tune_nas.sweep.trial_epochs import TrialEpochs
from tune_nas.sweep.trial_session import begin_session
from tune_nas.tasks import Tasks

EPOCHS = 5
PARAMETERS = {
    "optimizer.alphas.learning_rate": {"grid": [0.01, 0.03]},
    "update.lambda": {"grid": [0, 1]},
}
"""4 trials a seed: 3 epochs are the same in all of them, and 5 in those with one rate."""


class NoTracking:
    def update(self, records: Records, job_id: str) -> None:
        """Write nothing."""


def run(folder: Path, name: str = "s", **changes: Any) -> dict[str, list[Record]]:
    """Run or resume a sweep of stand-ins in this process."""
    own = {"parameters": PARAMETERS, "seeds": 2, "epochs": EPOCHS, "retrain": "each", **changes}
    orders = {"ran": str(folder / "ran")}
    return run_here(folder, name, load_sweep(write_sweep(folder / "input", orders, **own)), SHARING)


def run_here(folder: Path, name: str, sweep: SweepConfig, tasks: Tasks) -> dict[str, list[Record]]:
    sweep = sweep.model_copy(update={"name": name})
    plan = Plan(Storage(folder / "runs" / name), sweep, base_trials(sweep), State())
    plan.write()
    known = read_records(plan)
    options = RunOptions(storage=str(folder / "runs"), quiet=True, max_failures=0)
    interruption = Interruption(lambda: False)
    runner = LocalPhaseRunner(plan, options, tasks, NoTracking(), interruption)
    for phase in phases_of(plan):
        runner.run(phase, known)
    return {name: list(records) for name, records in known.items()}


def results(found: dict[str, list[Record]]) -> list[tuple[Any, ...]]:
    def own(record: Record) -> tuple[Any, ...]:
        trial = record.job.trial.model_copy(update={"description": ""})  # it has the test's folder
        settings = replace(record.job, trial=trial)
        ends = (record.status, record.reason, record.error, record.genotype)
        return (settings, ends, record.history, record.orders)

    return [own(record) for phase in found.values() for record in phase]


@contextmanager
def killed_after(monkeypatch: pytest.MonkeyPatch, results: int) -> Iterator[None]:
    """Let the driver die after it has recorded a number of results."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, results)
        yield


def test_every_distinct_epoch_is_run_once(tmp_path: Path) -> None:
    shared = run(tmp_path / "on")
    separate = run(tmp_path / "off", share=False)
    assert results(shared) == results(separate)
    ran = epochs_run(tmp_path / "on" / "ran")
    searched = [line for line in ran if line[-1].isdigit()][: 2 * (SWITCH + 2 * 2)]
    assert len(set(searched)) == len(searched)
    assert len(epochs_run(tmp_path / "off" / "ran")) == 2 * 4 * EPOCHS + 4 * 2
    taken = [record.taken for record in shared["search"]]
    assert taken == [0, 0, 5, 5, 3, 3, 5, 5]
    from_ = [record.taken_from for record in shared["search"]]
    assert from_[2:] == [f"search-0000{n}" for n in (0, 1, 0, 1, 4, 5)]
    assert sum(record.epochs_run for record in shared["search"]) == 2 * (SWITCH + 2 * 2)
    # the stand-ins find the same cell: 4 retraining runs of it, 2 for each seed that won
    assert sum(record.taken == 2 for record in shared["retrain"]) == 4 - len(
        {record.job.seed for record in shared["retrain"]}
    )
    assert all(record.taken == 0 for phase in separate.values() for record in phase)


@pytest.mark.parametrize("kills", [(2,), (4, 1), (9, 3, 4), (16, 22)])
def test_killed_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: tuple[int, ...]
) -> None:
    """Killed in the shared epochs, while they are reported, and in later ones."""
    for results_before in kills:
        with killed_after(monkeypatch, results_before):
            run(tmp_path / "killed")
    assert results(run(tmp_path / "killed")) == results(run(tmp_path / "through", share=False))
    repeats = Counter(epochs_run(tmp_path / "killed" / "ran"))
    # an epoch is run again only if its result was not recorded when the driver died
    assert sum(repeats.values()) <= 2 * (SWITCH + 2 * 2) + 2 * 2 + 2 * len(kills)


def test_a_trial_that_fails_leaves_what_it_has_run_to_the_others(tmp_path: Path) -> None:
    """The second epoch of every trial with seed 1 fails."""

    def failing(folder: Path, **changes: Any) -> dict[str, list[Record]]:
        orders = {"fail": 1, "ran": str(folder / "ran")}
        file = write_sweep(folder / "input", orders, parameters=PARAMETERS, seeds=2, **changes)
        return run_here(folder, "s", load_sweep(file), SHARING)

    shared, separate = failing(tmp_path / "on"), failing(tmp_path / "off", share=False)
    assert results(shared) == results(separate)
    assert [record.status for record in shared["search"]] == ["finished", "failed"] * 4
    taken = [record.taken for record in shared["search"] if record.job.seed == 1]
    assert taken == [0, 1, 1, 1]


def test_extended_by_values(tmp_path: Path) -> None:
    first = {**PARAMETERS, "optimizer.alphas.learning_rate": {"grid": [0.01]}}
    run(tmp_path / "on", parameters=first, retrain=0)
    # 2 trials with the new rate for each seed: epochs 4 and 5 are run once for both
    before = len(epochs_run(tmp_path / "on" / "ran"))
    assert before == 2 * EPOCHS
    new = run(tmp_path / "on", parameters=PARAMETERS, retrain=0)
    assert len(epochs_run(tmp_path / "on" / "ran")) == before + 2 * EPOCHS
    assert results(new) == results(run(tmp_path / "off", retrain=0, share=False))


@pytest.mark.parametrize("seed", range(4))
def test_several_at_a_time_run_no_epoch_twice(tmp_path: Path, seed: int) -> None:
    """Three trials at a time, whose epochs end in a random order."""
    draw = random.Random(seed)
    orders = {"ran": str(tmp_path / "ran")}
    own = {"parameters": PARAMETERS, "seeds": 2, "epochs": EPOCHS}
    sweep = load_sweep(write_sweep(tmp_path / "input", orders, **own))
    plan = Plan(Storage(tmp_path / "runs"), sweep, base_trials(sweep), State())
    records = read_records(plan)["search"]
    (phase,) = phases_of(plan)
    listed = phase.source({"search": records})
    assert isinstance(listed, ListSource)
    source = SharingSource(listed, Sharing(listed.jobs, records, SHARING["search"]))
    assert source.epochs_ahead() == 2 * (SWITCH + 2 * 2)
    running: dict[str, tuple[TrialEpochs, Path]] = {}
    waited = False
    while True:
        while len(running) < 3 and (job := source.next()) is not None:
            _, setup = begin_session(records, job, sharing=source.sharing)
            epochs = TrialEpochs()
            epochs.setup(setup, SHARING["search"])
            running[job.id] = (epochs, Path(setup["folder"]))
        if not running:
            break
        waited |= len(running) < 3 and len(records) < 8
        name = draw.choice(list(running))
        epochs, folder = running[name]
        report = epochs.step()
        records.add(name, report_of(report))
        shutil.rmtree(folder / "checkpoint_000000", ignore_errors=True)
        (folder / "checkpoint_000000").mkdir(parents=True)
        epochs.save_checkpoint(str(folder / "checkpoint_000000"))
        if report["done"]:
            del running[name]
            source.tell(records.end(name))
    assert waited and len(records) == 8
    assert len(epochs_run(tmp_path / "ran")) == 2 * (SWITCH + 2 * 2)
    separate = run(tmp_path / "off", share=False, retrain=0)["search"]
    assert [r.history for r in records] == [r.history for r in separate]


def test_finished_trials_of_another_run_are_taken_over(tmp_path: Path) -> None:
    """The second sweep has one more rate; the third one does not reuse, and runs everything."""
    first = {**PARAMETERS, "optimizer.alphas.learning_rate": {"grid": [0.03]}}
    run(tmp_path, "first", parameters=first)
    before = len(epochs_run(tmp_path / "ran"))
    assert before == 2 * EPOCHS + 2
    reused = run(tmp_path, "second", reuse=True)
    # epochs of the other rate, one run for both λ, and no retraining run: the cell is the same one
    assert len(epochs_run(tmp_path / "ran")) == before + 2 * EPOCHS
    sources = {record.taken_from for phase in reused.values() for record in phase}
    assert {"first/search-00000", "first/search-00001", "first/retrain-00000"} <= sources
    separate = run(tmp_path, "third", share=False)
    assert results(reused) == results(separate)
    assert {record.taken for phase in separate.values() for record in phase} == {0}


def test_real_searches_and_trainings_are_reused(tmp_path: Path) -> None:
    trial = {
        "space": {"name": "nasbench201", "init_channels": 4, "cells": 1},
        "data": {"name": "fake", "train_images": 32, "resolution": 8},
        "update": {"level": "mixed", "warmup": 1},
        "schedule": {"epochs": 2, "batch_size": 8},
        "retrain": {"epochs": 1, "batch_size": 8, "init_channels": 4, "cells": 1},
    }
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(trial))

    def sweep(values: list[float], **changes: Any) -> dict[str, list[Record]]:
        parameters = {"update.lambda": {"grid": values}}
        content = {"trial": str(tmp_path / "trial.yaml"), "parameters": parameters, **changes}
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
        return run_here(tmp_path, f"s{len(changes)}", load_sweep(tmp_path / "sweep.yaml"), {})

    first = sweep([0])
    assert [record.taken for record in first["search"] + first["retrain"]] == [0, 0]
    second = sweep([0, 1, 10], reuse=True)
    # nothing was kept for the second trial; it keeps its first epoch for the third
    assert [record.taken for record in second["search"]] == [2, 0, 1]
    assert second["retrain"][0].taken_from == "s0/retrain-00000"
    separate = sweep([0, 1, 10], share=False, reuse=False)

    def computed(record: Record) -> list[dict[str, float]]:
        measured = ("seconds", "memory", "images_per_second")
        return [
            {k: v for k, v in epoch.items() if not any(word in k for word in measured)}
            for epoch in record.history
        ]

    for phase in ("search", "retrain"):
        found = [(computed(r), r.genotype, r.status, r.job) for r in second[phase]]
        assert found == [(computed(r), r.genotype, r.status, r.job) for r in separate[phase]]


def test_what_is_not_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that failed, whose checkpoints are gone, or of another version of the results."""
    one = {"parameters": {"update.lambda": {"grid": [0, 1]}}, "seeds": 1, "retrain": 0}
    run(tmp_path, "first", **one)
    ran = tmp_path / "ran"
    assert len(epochs_run(ran)) == EPOCHS  # both values are the same until their last epoch
    run(tmp_path, "second", reuse=True, **one)
    assert len(epochs_run(ran)) == EPOCHS
    with monkeypatch.context() as patch:
        patch.setattr("tune_nas.sweep.made_with.RESULTS_VERSION", -1)
        run(tmp_path, "of-another-version", reuse=True, **one)
    assert len(epochs_run(ran)) == 2 * EPOCHS
    for checkpoints in tmp_path.glob("runs/*/search/search-*"):
        shutil.rmtree(checkpoints)
    run(tmp_path, "third", reuse=True, **one)
    assert len(epochs_run(ran)) == 3 * EPOCHS


def test_the_epochs_after_which_asha_may_stop(tmp_path: Path) -> None:
    asha = {"grace_period": 2, "reduction_factor": 2.5}
    sweep = load_sweep(write_sweep(tmp_path, epochs=13, scheduler="asha", asha=asha))
    plan = Plan(Storage(tmp_path / "runs"), sweep, base_trials(sweep), State())
    listed = phases_of(plan)[0].source({"search": read_records(plan)["search"]})
    assert isinstance(listed, ListSource)
    assert asha_stops(sweep, listed.jobs) == [2, 5]
    scheduler = Asha(
        metric="valid_accuracy", mode="max", epochs=13, grace_period=2, reduction_factor=2.5
    )
    assert sorted(math.ceil(rung) for rung in scheduler.rungs()) == [2, 5, 13]
    assert asha_stops(sweep.model_copy(update={"scheduler": "none"}), listed.jobs) == []


def test_what_is_kept_watched_and_offered(tmp_path: Path) -> None:
    """With stops after epochs 1 and 2: only the first trial keeps anything, and not its end."""
    sweep = load_sweep(write_sweep(tmp_path / "in", parameters=PARAMETERS, epochs=EPOCHS))
    plan = Plan(Storage(tmp_path / "runs"), sweep, base_trials(sweep), State())
    records = read_records(plan)["search"]
    listed = phases_of(plan)[0].source({"search": records})
    assert isinstance(listed, ListSource)
    sharing = Sharing(listed.jobs, records, SHARING["search"], stops=(1, 2, 4))
    first, twin, other, _ = listed.jobs
    assert sharing.kept(first) == [1, 2, SWITCH, 4]
    assert sharing.branches(twin) == [] and sharing.watched(first) == []
    assert not sharing.waits(other, set()) and sharing.waits(other, {first.id})
    records.start(first)
    for epoch in range(1, SWITCH + 1):
        records.add(first.id, {"epoch": epoch})
    assert not sharing.waits(other, {first.id}) and sharing.waits(twin, {first.id})
    assert [branch["epochs"] for branch in sharing.branches(other)] == [SWITCH]
    assert sharing.kept(other) == [4]  # for its own twin; the first trial has kept the others
    records.add(first.id, {"epoch": 4, "taken": "4", "taken_from": "another/search-00000"})
    assert sharing.branches(other) == []  # nothing was kept when it was taken over
    assert sharing.kept(other) == [1, 2, SWITCH, 4]
