"""Whole sweeps on Ray: results, failures, resuming."""

from __future__ import annotations

import json
import pickle
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from standin import TASKS, MakeSweep, crash_after

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, StorageError
from tune_nas.report import TrialResult
from tune_nas.sweep import RunOptions, resume_sweep, run_retrain, run_search, run_sweep
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.runs.plan import Plan, State, read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep


def options(folder: Path, **more: Any) -> RunOptions:
    return RunOptions(**{"storage": str(folder / "runs"), "quiet": True, **more})


def test_a_grid_runs_to_its_end_and_leaves_everything(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep({"fail": 1}, seeds=3, retrain="each")
    outcome = run_sweep(sweep, options(tmp_path, quiet=False, max_failures=1), "grid", tasks=TASKS)
    # Seed 1 fails for every λ; the sweep continues, and reports it.
    assert outcome.n_failed == 3
    failed = [result for result in outcome.results if result.status == "failed"]
    assert {result.seed for result in failed} == {1}
    assert {result.error for result in failed} == {"ValueError: the second epoch failed"}
    searched = [r for r in outcome.results if r.phase == "search" and r.status == "finished"]
    assert len(searched) == 6
    assert all(len(result.history) == 4 for result in searched)
    retrained = [result for result in outcome.results if result.phase == "retrain"]
    assert [len(result.history) for result in retrained] == [2, 2, 2]
    parents = {result.trial_id: result for result in searched}
    assert all(parents[r.parent or ""].parameters == r.parameters for r in retrained)
    folder = Path(outcome.folder)
    written = json.loads((folder / "results.json").read_text())
    assert [TrialResult.from_dict(entry) for entry in written] == outcome.results
    for name in ("report.md", "figure.png", "figure.svg", "sweep.yaml", "genotypes/best.yaml"):
        assert (folder / name).stat().st_size > 0, name
    assert outcome.best_genotype_path == str(folder / "genotypes" / "best.yaml")
    kept = sorted(path.name for path in folder.glob("search/search-00000/checkpoint_*"))
    assert kept == ["checkpoint_000002", "checkpoint_000003"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "search (phase 1 of 2): 9 trials"
    assert sum("ValueError: the second epoch failed" in line for line in lines) == 3
    runs = RunReader(outcome.mlflow_uri).list_runs()
    states = sorted((run.phase, run.state) for run in runs)
    assert states == (
        [("retrain", "FINISHED")] * 3
        + [("search", "FAILED")] * 3
        + [("search", "FINISHED")] * 6
        + [("sweep", "FINISHED")]
    )
    assert "trial search-" in (folder / "log.txt").read_text()
    with pytest.raises(StorageError, match="has finished; there is nothing to resume"):
        resume_sweep("grid", options(tmp_path), tasks=TASKS)
    with pytest.raises(StorageError, match="there is nothing to resume in"):
        resume_sweep(None, options(tmp_path), tasks=TASKS)
    with pytest.raises(StorageError, match="'grid' exists in"):
        run_sweep(sweep, options(tmp_path), "grid", tasks=TASKS)


def test_a_trial_that_fails_once_goes_on_from_its_checkpoint(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    one = {"update.lambda": {"grid": [1]}}
    sweep = make_sweep({"fail_once": str(tmp_path / "failed")}, parameters=one)
    outcome = run_sweep(sweep, options(tmp_path), tasks=TASKS)
    assert (tmp_path / "failed").exists()
    smooth = run_sweep(make_sweep(parameters=one), options(tmp_path), "b", tasks=TASKS)
    assert outcome.n_failed == 0
    assert [r.history for r in outcome.results] == [r.history for r in smooth.results]


def test_damaged_ray_state_and_checkpoints_are_of_no_consequence(
    make_sweep: MakeSweep,
    tmp_path: Path,
    ray_session: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Truncated experiment state, searcher state, tuner.pkl, study, newest checkpoint."""
    drawn = {
        "searcher": "tpe",
        "trials": 5,
        "parameters": {"optimizer.weights.learning_rate": {"loguniform": [0.001, 0.5]}},
    }
    sweep, alone = make_sweep({"pause": 0.05}, **drawn), {"concurrency": 1}
    whole = run_sweep(sweep, options(tmp_path, **alone), "whole", tasks=TASKS)
    with crash_after(monkeypatch, 11):
        run_sweep(sweep, options(tmp_path, **alone), "cut", tasks=TASKS)
    folder = tmp_path / "runs" / "cut"
    records = list(Records(Storage(folder), "search"))
    assert [record.epoch for record in records] == [4, 4, 3]
    (folder / "search" / "searcher-state-x.pkl").write_bytes(pickle.dumps("x")[:3])
    (folder / "search" / "experiment_state-2099-01-01_00-00-00.json").write_text('{"che')
    (folder / "search" / "tuner.pkl").write_bytes(b"\x80\x04")
    (folder / "optuna.db").write_bytes(b"SQLite format 3\x00 cut short")
    newest = max(folder.glob("search/search-00002/checkpoint_*"))
    for file in newest.iterdir():
        file.write_bytes(file.read_bytes()[:10])
    resumed = resume_sweep("cut", options(tmp_path, **alone), tasks=TASKS)
    assert resumed.results == whole.results
    assert "skipped a damaged checkpoint" in (folder / "log.txt").read_text()
    runs = RunReader(resumed.mlflow_uri).list_runs()
    mine = [run for run in runs if run.sweep == "cut"]
    assert len(mine) == 6
    assert {run.state for run in mine} == {"FINISHED"}


def test_an_error_in_the_driver_is_said_as_it_is_and_a_resume_goes_on(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep({"pause": 0.1}, parameters={"update.lambda": {"grid": [0, 1]}})
    add, count = Records.add, iter(range(3))

    def full(self: Records, job_id: str, result: Any, *, stopped: str = "") -> bool:
        if next(count, None) is None:
            full = OSError("no space left on device")
            raise StorageError("storage cannot be written: no space left on device") from full
        return add(self, job_id, result, stopped=stopped)

    with monkeypatch.context() as patch:
        patch.setattr(Records, "add", full)
        with pytest.raises(StorageError, match=r"^storage cannot be written: no space left"):
            run_sweep(sweep, options(tmp_path, concurrency=1), "full", tasks=TASKS)
    reader = RunReader(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    ends = {run.phase: (run.state, run.tags.get("reason")) for run in reader.list_runs()}
    by = "interrupted by an error of the driver"
    assert ends["search"] == ("KILLED", f"{by} after epoch 3 of 4; resume the sweep")
    assert ends["sweep"][0] == "FAILED"
    resumed = resume_sweep("full", options(tmp_path), tasks=TASKS)
    assert [result.status for result in resumed.results] == ["finished"] * 2
    assert {run.state for run in reader.list_runs()} == {"FINISHED"}


def test_a_metric_that_no_search_reports_ends_the_sweep_with_its_first_trial(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    sweep = make_sweep(metric="genotype/skip")
    with pytest.raises(ConfigError, match="which no search reports; did you mean 'genotype/skips'"):
        run_sweep(sweep, options(tmp_path, concurrency=1), "wrong", tasks=TASKS)
    records = Records(Storage(tmp_path / "runs" / "wrong"), "search")
    assert [record.epoch for record in records] == [4]


@pytest.mark.parametrize("scheduler", ["none", "asha"])
def test_a_metric_that_nobody_knows_beforehand(
    make_sweep: MakeSweep,
    tmp_path: Path,
    ray_session: None,
    caplog: pytest.LogCaptureFixture,
    scheduler: str,
) -> None:
    """Any that a search reports ranks; of any other a line says so at once, and then which are."""
    asha = {"scheduler": scheduler, "asha": {"grace_period": 2}}
    where = options(tmp_path, concurrency=1)
    outcome = run_sweep(make_sweep(metric="state", **asha), where, "known", tasks=TASKS)
    assert {result.status for result in outcome.results} <= {"finished", "stopped early"}
    assert caplog.records == []

    wrong = make_sweep(metric="valid_acuracy", **asha)
    with pytest.raises(ConfigError) as error:
        run_sweep(wrong, where, "wrong", tasks=TASKS)
    assert str(error.value) == (
        "metric is 'valid_acuracy', which no search reports; did you mean 'valid_accuracy'?; they "
        "report epoch, gap, genotype/skips, seconds, state, train_accuracy, valid_accuracy"
    )
    (record,) = Records(Storage(tmp_path / "runs" / "wrong"), "search")
    assert (record.epoch, record.failures) == (4, 0)
    assert [entry.getMessage() for entry in caplog.records] == [
        "metric is 'valid_acuracy', which is not reported in epoch 1; did you mean "
        "'valid_accuracy'?; the sweep ends if the first search ends without it"
    ]


def test_a_damaged_record_is_one_line(tmp_path: Path, make_sweep: MakeSweep) -> None:
    storage = Storage(tmp_path / "runs" / "x")
    sweep = make_sweep(name="x")
    Plan(storage, sweep, BaseTrials({"trial": TrialConfig()}), State()).write()
    storage.write("search/records/search-00000.json", '{"job": ')
    with pytest.raises(StorageError, match=r"search-00000.json is damaged"):
        Records(storage, "search")
    assert read_plan(storage).sweep == sweep
    (tmp_path / "runs" / "x" / "sweep.yaml").write_text("")
    with pytest.raises(StorageError, match=r"sweep.yaml is missing or damaged"):
        resume_sweep("x", options(tmp_path))


def test_one_search_and_one_retrain(tmp_path: Path, ray_session: None) -> None:
    trial = TrialConfig(name="one", schedule={"epochs": 3}, retrain={"epochs": 2})  # type: ignore[arg-type]
    found = run_search(trial, options(tmp_path), tasks=TASKS)
    assert [result.phase for result in found.results] == ["search"]
    best = Path(found.best_genotype_path or "").read_text()
    run = next(r for r in RunReader(found.mlflow_uri).list_runs() if r.phase == "search")
    outcome = run_retrain(trial, best, options(tmp_path), "two", parent_run=run.run_id, tasks=TASKS)
    (result,) = outcome.results
    assert (result.phase, result.status, result.metrics["epoch"]) == ("retrain", "finished", 2)
    assert f"retrain test accuracy {result.metrics['test_accuracy']:.2f} %" in (
        outcome.report.sentence()
    )
    assert Path(outcome.best_genotype_path or "").read_text() == best
    child = next(r for r in RunReader(found.mlflow_uri).list_runs() if r.phase == "retrain")
    assert child.parent == run.run_id


def test_bad_places_are_one_line_and_nothing_is_written(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep()
    (tmp_path / "file").write_text("")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"address": f"127.0.0.1:{port}"}, "Ray cluster .* cannot be reached"),
        ({"address": "nonsense"}, "HOST:PORT"),
        ({"mlflow": f"http://127.0.0.1:{port}"}, "MLflow store .* cannot be reached"),
        ({"storage": str(tmp_path / "file" / "runs")}, "cannot be written"),
        ({"storage": str(tmp_path / "file")}, "is a file, but must be a folder"),
        ({"storage": "mock://bucket"}, "give an MLflow server"),
        ({"storage": "nothing://bucket"}, "storage nothing://bucket cannot be reached"),
    ]
    for changes, says in cases:
        began = time.monotonic()
        with pytest.raises(StorageError, match=says) as error:
            run_sweep(sweep, options(tmp_path, **changes), tasks=TASKS)
        assert "\n" not in str(error.value)
        assert time.monotonic() - began < 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "input"]
    with pytest.raises(StorageError, match="there is nothing to resume"):
        resume_sweep(None, options(tmp_path))
    with pytest.raises(StorageError, match="'unknown' is not a run in"):
        resume_sweep("unknown", options(tmp_path))
    with pytest.raises(ConfigError, match="without '/'"):
        run_sweep(sweep, options(tmp_path), "a/b", tasks=TASKS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "input"]
