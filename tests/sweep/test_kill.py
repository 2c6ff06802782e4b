"""A driver that is killed with SIGKILL and resumed gives the same results as without the kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from standin import TASKS, StandIn, write_sweep

from tune_nas.sweep import RunOptions, SweepOutcome, load_sweep, resume_sweep, run_sweep
from tune_nas.sweep.ray.scheduler import Asha
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep

DRAWN: dict[str, Any] = {
    "epochs": 6,
    "parameters": {
        "optimizer.weights.learning_rate": {"loguniform": [0.001, 0.5]},
        "optimizer.alphas.learning_rate": {"loguniform": [0.0001, 0.1]},
        "update.lambda": {"choice": [0, 1, float("inf")]},
    },
    "searcher": "tpe",
    "scheduler": "asha",
    "asha": {"grace_period": 2, "reduction_factor": 2},
    "trials": 14,
    "repeat": {"best": 2, "seeds": 2},
    "retrain": 1,
}

FEW: dict[str, Any] = {
    **DRAWN,
    "parameters": {
        "optimizer.weights.learning_rate": {"choice": [0.003, 0.03, 0.3]},
        "update.lambda": {"choice": [0, 1, float("inf")]},
    },
}


def start(folder: Path, command: str, concurrency: int, sweep: Path) -> subprocess.Popen[bytes]:
    arguments = [command, str(folder / "runs"), str(concurrency), str(sweep)]
    here = Path(__file__).parent
    with (folder / "driver.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(here / "driver.py"), *arguments], stdout=output, stderr=output
        )


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool], log: Path) -> None:
    """Kill a process that we started, by its id, once a condition is met."""
    deadline = time.monotonic() + 120
    try:
        while not reached():
            assert process.poll() is None, f"the driver ended early: {log.read_text()}"
            assert time.monotonic() < deadline, f"the driver hangs: {log.read_text()}"
            time.sleep(0.02)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def records(folder: Path, name: str, phase: str) -> list[Record]:
    return list(Records(Storage(folder / "runs" / name), phase))


def epochs_of(folder: Path, phase: str) -> int:
    return sum(record.epoch for record in records(folder, "killed", phase))


def what_came_of(found: list[Record]) -> list[tuple[Any, ...]]:
    return [(r.job, r.status, r.reason, r.history, r.genotype, r.orders, r.error) for r in found]


def study(folder: Path, name: str) -> list[tuple[Any, ...]]:
    url = f"sqlite:///{folder / 'runs' / name / 'optuna.db'}"
    trials = optuna.load_study(study_name=name, storage=url).trials
    return [(t.number, t.params, t.state.name, t.value, t.intermediate_values) for t in trials]


def runs(outcome: SweepOutcome) -> list[tuple[Any, ...]]:
    reader = RunReader(outcome.mlflow_uri)
    found = reader.list_runs()
    names = {run.run_id: run.name for run in found}
    return sorted(
        (r.name, r.phase, r.trial_id or "", names.get(r.parent or ""), r.state, r.status, r.metrics)
        for r in found
    )


def test_killed_twice_ends_as_one_that_ran_through(tmp_path: Path, ray_session: None) -> None:
    """One trial at a time: same trials, results, ASHA and Optuna decisions, MLflow runs.

    There are fewer configurations than trials, so that some are sampled again.
    """
    options = {"concurrency": 1, "quiet": True}
    through, killed = tmp_path / "through", tmp_path / "killed"
    file = write_sweep(tmp_path / "input", {"pause": 0.03}, **FEW)
    whole = run_sweep(
        load_sweep(file),
        RunOptions(storage=str(through / "runs"), **options),
        "killed",
        tasks=TASKS,
    )
    log = killed / "driver.txt"
    killed.mkdir()
    first = start(killed, "start", 1, file)
    kill_when(first, lambda: epochs_of(killed, "search") >= 45, log)
    assert records(killed, "killed", "search")[-1].status == "running"
    second = start(killed, "resume", 1, file)
    kill_when(second, lambda: epochs_of(killed, "repeat") >= 8, log)
    resumed = resume_sweep(None, RunOptions(storage=str(killed / "runs"), **options), tasks=TASKS)
    for phase in ("search", "repeat", "retrain"):
        expected = what_came_of(records(through, "killed", phase))
        assert expected, phase
        assert what_came_of(records(killed, "killed", phase)) == expected
    assert resumed.results == whole.results
    runs_of = [(str(result.parameters), result.seed) for result in whole.results[:14]]
    assert len(set(runs_of)) == 14 and len({seed for _, seed in runs_of}) > 1
    statuses = {result.status for result in whole.results}
    assert statuses == {"finished", "stopped early"}
    assert study(killed, "killed") == study(through, "killed")
    states = {state for _, _, state, _, _ in study(killed, "killed")}
    assert states == {"COMPLETE", "PRUNED"}
    assert runs(resumed) == runs(whole)
    assert {state for *_, state, _, _ in runs(resumed)} == {"FINISHED"}


def test_killed_while_genotypes_are_trained_under_two_settings(
    tmp_path: Path, ray_session: None
) -> None:
    grid = {"recipes": [{"name": "short", "epochs": 2}, {"name": "long", "epochs": 3}], "seeds": 2}
    parameters = {"update.lambda": {"grid": [0, 1]}}
    file = write_sweep(
        tmp_path / "input", {"pause": 0.03}, epochs=1, parameters=parameters, retrain=grid
    )
    process = start(tmp_path, "start", 1, file)
    kill_when(process, lambda: epochs_of(tmp_path, "retrain") >= 6, tmp_path / "driver.txt")
    assert epochs_of(tmp_path, "retrain") < 20
    options = RunOptions(storage=str(tmp_path / "runs"), concurrency=1, quiet=True)
    resumed = resume_sweep(None, options, tasks=TASKS)
    trained = records(tmp_path, "killed", "retrain")
    accuracies: dict[tuple[str, object], list[float]] = {}
    for record in trained:
        alone = StandIn(record.job.trial, record.job.inputs.genotype)
        expected = [alone.run_epoch() for _ in range(alone.epochs)]
        assert [epoch["state"] for epoch in record.history] == [e["state"] for e in expected]
        values = record.job.parameters
        row = (str(values["retrain.setting"]), values["update.lambda"])
        accuracies.setdefault(row, []).append(expected[-1]["test_accuracy"])
    comparison = resumed.report.by_setting
    assert comparison is not None
    rows = {(row.setting, row.values["update.lambda"]): row for row in comparison.rows}
    assert rows.keys() == accuracies.keys() and len(trained) == 8
    for key, row in rows.items():
        assert row.accuracy is not None
        assert (row.accuracy.n, sorted(row.accuracy.values)) == (2, sorted(accuracies[key]))
    assert "the order of λ under short and long: τ = 1.00 over 2 values" in resumed.report.lines()
    found = {run.run_id: run for run in RunReader(resumed.mlflow_uri).list_runs()}
    tracked = [run for run in found.values() if run.phase == "retrain"]
    assert {found[run.parent or ""].phase for run in tracked} == {"search"}
    assert sorted(run.tags["retrain.setting"] for run in tracked) == ["long"] * 4 + ["short"] * 4
    assert {run.state for run in found.values()} == {"FINISHED"}


def test_two_at_a_time_contradict_no_decision(tmp_path: Path, ray_session: None) -> None:
    file = write_sweep(tmp_path / "input", {"pause": 0.05}, **{**DRAWN, "retrain": 0})
    process = start(tmp_path, "start", 2, file)
    kill_when(process, lambda: epochs_of(tmp_path, "search") >= 30, tmp_path / "driver.txt")
    before = {r.job.id: r for r in records(tmp_path, "killed", "search")}
    assert any(record.status == "stopped early" for record in before.values())
    options = RunOptions(storage=str(tmp_path / "runs"), concurrency=2, quiet=True)
    outcome = resume_sweep("killed", options, tasks=TASKS)
    phase = Records(Storage(tmp_path / "runs" / "killed"), "search")
    assert len(phase) == 14
    for job_id, record in before.items():
        after = phase[job_id]
        assert after.job == record.job
        assert after.history[: len(record.history)] == record.history
        assert after.orders[: len(record.orders)] == record.orders
        if record.ended:
            assert after.history == record.history
            assert after.status == record.status.replace("stopping", "stopped early")
    assert_decisions_follow(phase)
    states = [run[4] for run in runs(outcome)]
    assert len(states) == 1 + 14 + 4
    assert set(states) == {"FINISHED"}


def assert_decisions_follow(phase: Records) -> None:
    """Replay all results to a new ASHA: it must stop exactly the trials that were stopped."""
    asha = Asha(metric="valid_accuracy", mode="max", epochs=6, grace_period=2, reduction_factor=2)

    class Known:
        def __init__(self, trial_id: str) -> None:
            self.trial_id = trial_id

    known = {record.job.id: Known(record.job.id) for record in phase}
    for trial in known.values():
        asha.on_trial_add(None, trial)
    for record, metrics in phase.in_order():
        decision = asha.on_trial_result(None, known[record.job.id], metrics)
        last = metrics is record.history[-1]
        assert (decision == "STOP") == last, (record.job.id, metrics["epoch"])
        if last:
            expected = "finished" if metrics["epoch"] == 6 else "stopped early"
            assert record.status == expected
