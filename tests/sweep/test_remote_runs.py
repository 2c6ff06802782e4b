"""Runs in a remote storage: listed, watched, extended, stopped and removed as in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from standin import TASKS, MakeSweep
from stored_runs import store_run

from tune_nas.errors import StorageError
from tune_nas.sweep import Extension, RunOptions, extend_sweep, run_sweep
from tune_nas.sweep.manage.removal import remove_run
from tune_nas.sweep.manage.run_progress import run_progress
from tune_nas.sweep.manage.run_summaries import run_summaries
from tune_nas.sweep.manage.stopping import stop_run, stop_trial
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.stop_requests import StopRequests
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader


@pytest.mark.sweep
def test_a_remote_sweep_is_extended_and_removed(
    bucket: str, make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    options = RunOptions(storage=bucket, mlflow=uri, quiet=True)
    one = {"update.lambda": {"grid": [1]}}
    run_sweep(make_sweep(parameters=one, epochs=2), options, "x", tasks=TASKS)
    more = Extension(values={"update.lambda": [3]})
    after = extend_sweep("x", more, RunOptions(storage=bucket, quiet=True), tasks=TASKS)
    assert [(r.trial_id, r.parameters) for r in after.results] == [
        ("search-00000", {"update.lambda": 1.0}),
        ("search-00001", {"update.lambda": 3.0}),
    ]
    (found,) = run_summaries(bucket)
    assert (found.name, found.status, found.done, found.total) == ("x", "finished", 2, 2)
    assert found.size is not None and found.size > 1000
    assert found.best is not None and found.best.trial_id == "search-00001"
    progress = run_progress(bucket, "x")
    assert [trial.epoch for trial in progress.trials] == [2, 2]
    assert progress.log == f"{bucket}/x/log.txt"
    assert remove_run(bucket, "x").tracked == 3
    assert list(run_summaries(bucket)) == []
    assert RunReader(uri).list_runs() == []
    assert Storage(bucket).within("x").names() == []


def test_a_remote_driver_is_asked_and_never_taken_for_dead(bucket: str, tmp_path: Path) -> None:
    trials = [("search-00000", "running", {"valid_accuracy": 50.0})]
    plan = store_run(bucket, "x", trials, tmp_path, mlflow="http://127.0.0.1:9")
    (found,) = run_summaries(bucket)
    assert (found.status, found.running, found.lost) == ("running", 1, 0)
    assert found.reason.startswith("last result 0 minutes ago; if its driver is gone, resume with")
    requests = StopRequests(plan.storage)
    stop_trial(bucket, "x", "search-00000")
    assert requests.pending("search-00000") and requests.of_trial("search-00000")
    requests.withdraw("search-00000")
    assert not requests.pending("search-00000") and not requests.of_trial("search-00000")
    assert not stop_run(bucket, "x").done
    assert StopRequests(plan.storage).of_run()
    with pytest.raises(StorageError, match="'x' may be running: last result 0 minutes ago"):
        remove_run(bucket, "x", mlflow_runs=False)
    with pytest.raises(StorageError, match=r"'other' is not a run in s3://.*/nas; see `tune-nas"):
        existing_run("other", bucket)
    remove_run(bucket, "x", mlflow_runs=False, force=True)
    assert list(run_summaries(bucket)) == []
