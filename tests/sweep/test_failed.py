"""Which failed trials are retried: by Ray at once, and by a resume with ``--failed``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standin import TASKS, MakeSweep, crash_after
from stored_runs import store_run

from tune_nas.config import TrialConfig
from tune_nas.errors import StorageError
from tune_nas.status import Status
from tune_nas.sweep import RunOptions, resume_sweep, run_sweep
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phases import with_known_ids
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep
TWO = {"update.lambda": {"grid": [0, 1]}}


def options(folder: Path, **more: Any) -> RunOptions:
    return RunOptions(**{"storage": str(folder / "runs"), "quiet": True, "concurrency": 1, **more})


@pytest.mark.parametrize(
    ("error", "at", "tries"),
    [
        ("TuneNasError", "epoch", 1),  # a loss that is no longer finite
        ("DataError", "start", 1),  # an image that is damaged
        ("ConfigError", "start", 1),
        ("DataUnavailableError", "start", 3),
        ("StorageError", "epoch", 3),
    ],
)
def test_what_would_fail_in_the_same_way_is_tried_once(
    error: str, at: str, tries: int, make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    orders = {"raise": error, "at": at, "tries": str(tmp_path / "tries")}
    sweep = make_sweep(orders, parameters=TWO)
    outcome = run_sweep(sweep, options(tmp_path), "x", tasks=TASKS)
    assert len((tmp_path / "tries").read_text().splitlines()) == tries
    (failed,) = [result for result in outcome.results if result.status == "failed"]
    assert failed.error == f"{error}: it fails, as it was told to"
    if tries == 1:
        record = tmp_path / "runs/x/search/records/search-00001.json"
        says = (
            f"'x' has 1 failed trial, which would fail in the same way: {failed.error}; "
            f"to run it again, remove {record}"
        )
        with pytest.raises(StorageError) as refused:
            resume_sweep("x", options(tmp_path), failed=True, tasks=TASKS)
        assert str(refused.value) == says


def test_a_passing_failure_is_tried_again_from_its_checkpoint(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    """The best trial failed, so another was retrained; then the best is, and MLflow has it all."""
    orders = {"fail_until": str(tmp_path / "back")}
    sweep = make_sweep(orders, parameters=TWO, retrain=1)
    where = options(tmp_path, max_failures=0)
    first = run_sweep(sweep, where, "x", tasks=TASKS)
    assert [result.status for result in first.results] == ["finished", "failed", "finished"]
    with pytest.raises(StorageError, match="'x' has finished; there is nothing to resume"):
        resume_sweep("x", where, tasks=TASKS)
    (tmp_path / "back").touch()
    second = resume_sweep(None, where, failed=True, tasks=TASKS)
    smooth = run_sweep(make_sweep(parameters=TWO), where, "smooth", tasks=TASKS)
    assert [r.history for r in second.results[:2]] == [r.history for r in smooth.results]
    retrained = {r.trial_id: (r.parent, r.status) for r in second.results if r.phase == "retrain"}
    assert retrained == {
        "retrain-00000": ("search-00000", "finished"),
        "retrain-00001": ("search-00001", "finished"),
    }
    assert second.results[2] == first.results[2]
    assert second.n_failed == 0
    runs = [run for run in RunReader(second.mlflow_uri).list_runs() if run.sweep == "x"]
    assert len(runs) == 5
    assert {(run.state, run.tags.get("error")) for run in runs} == {("FINISHED", None)}
    with pytest.raises(StorageError, match="'x' has no failed trial; there is nothing to try"):
        resume_sweep("x", where, failed=True, tasks=TASKS)
    with pytest.raises(StorageError, match="there is nothing to try again in"):
        resume_sweep(None, where, failed=True, tasks=TASKS)


def test_jobs_keep_the_ids_that_they_were_started_with() -> None:
    def job(job_id: str, seed: int) -> Job:
        trial = TrialConfig(seed=seed)
        return Job(job_id, "search", "repeat", trial, {"update.lambda": 1.0})

    records = [Record(job("repeat-00000", 5)), Record(job("repeat-00002", 7))]
    jobs = [job(f"repeat-{n:05d}", seed) for n, seed in enumerate((6, 7, 8, 5))]
    assert [(j.id, j.seed) for j in with_known_ids(jobs, records)] == [
        ("repeat-00001", 6),
        ("repeat-00002", 7),
        ("repeat-00003", 8),
        ("repeat-00000", 5),
    ]
    assert with_known_ids(jobs, []) == jobs


def test_a_record_of_an_older_version_and_one_that_was_moved(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "old" / "x")
    records = Records(storage, "search")
    record = records.start(Job("search-00000", "search", "search", TrialConfig()))
    record.folders.append(f"{storage.root}/search/search-00000")
    records.add("search-00000", {"epoch": 1, "valid_accuracy": 5.0})
    (tmp_path / "old").rename(tmp_path / "new")
    moved = Records(Storage(tmp_path / "new" / "x"), "search")["search-00000"]
    assert moved.folders == [str(tmp_path / "new/x/search/search-00000")]
    assert moved.history == record.history
    file = tmp_path / "new/x/search/records/search-00000.json"
    content = json.loads(file.read_text())
    for key in ("times", "failures", "last_error", "lasting"):
        del content[key]
    content["folders"] = [str(tmp_path / "old/x/search/search-00000")]  # as they were written
    file.write_text(json.dumps(content))
    before = Records(Storage(tmp_path / "new" / "x"), "search")["search-00000"]
    assert before.folders == moved.folders
    assert (before.times, before.failures, before.lasting) == ([], 0, False)


def test_what_could_continue_in_a_finished_run_is_said(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    trials = [(f"search-{n:05d}", "finished", {"valid_accuracy": 80.0}) for n in range(3)]
    plan = store_run(root, "x", trials, status="finished")
    (root / "mlflow.db").touch()
    says = "'x' has finished; there is nothing to resume"
    with pytest.raises(StorageError, match=f"^{says}$"):
        resume_sweep("x", options(tmp_path))
    records = Records(plan.storage, "search")
    with records.changing("search-00001") as record:
        record.status, record.reason = Status.STOPPED, "stopped by the user after epoch 1 of 50"
    says += "; `stopped` continues trials that were stopped"
    with pytest.raises(StorageError, match=f"^{says}$"):
        resume_sweep("x", options(tmp_path))
    with records.changing("search-00002") as record:
        record.status, record.error = Status.FAILED, "OSError: away"
    with pytest.raises(StorageError, match="resume; `failed` tries failed trials again; `stopped`"):
        resume_sweep("x", options(tmp_path))


def test_a_trial_whose_record_was_removed_is_run_again(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    """As the message on a trial that would fail in the same way says; also of a finished sweep."""
    where = options(tmp_path)
    whole = run_sweep(make_sweep(parameters=TWO, retrain=1), where, "x", tasks=TASKS)
    for file in ("search/records/search-00000.json", "retrain/records/retrain-00000.json"):
        (tmp_path / "runs" / "x" / file).unlink()
        again = resume_sweep("x", where, tasks=TASKS)
        assert again.results == whole.results
        assert again.untracked == []
    with pytest.raises(StorageError, match="'x' has finished; there is nothing to resume"):
        resume_sweep("x", where, tasks=TASKS)


def test_a_retraining_that_was_begun_is_run_to_its_end_though_another_is_better_by_now(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = {"fail_until": str(tmp_path / "back")}
    sweep, where = make_sweep(orders, parameters=TWO, retrain=1), options(tmp_path, max_failures=0)
    with crash_after(monkeypatch, 4 + 1 + 1):  # in the second epoch of the retraining
        run_sweep(sweep, where, "x", tasks=TASKS)
    records = Records(Storage(tmp_path / "runs" / "x"), "retrain")
    assert [(record.status, record.epoch) for record in records] == [("running", 1)]
    (tmp_path / "back").touch()
    outcome = resume_sweep("x", where, failed=True, tasks=TASKS)
    retrained = [(r.parent, r.status) for r in outcome.results if r.phase == "retrain"]
    assert retrained == [("search-00000", "finished"), ("search-00001", "finished")]
    assert (outcome.n_failed, outcome.untracked) == (0, [])


def test_a_finished_sweep_is_written_to_another_store(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = options(tmp_path)
    whole = run_sweep(make_sweep(parameters=TWO), where, "x", tasks=TASKS)
    monkeypatch.setattr("tune_nas.sweep.on_ray.connect", None)  # no trial is left to run
    other = f"sqlite:///{tmp_path}/other.db"
    again = resume_sweep("x", options(tmp_path, mlflow=other), tasks=TASKS)
    assert again.results == whole.results
    runs = RunReader(other).list_runs()
    assert sorted((run.phase, run.state) for run in runs) == [
        *[("search", "FINISHED")] * 2,
        ("sweep", "FINISHED"),
    ]
    with pytest.raises(StorageError, match="'x' has finished; there is nothing to resume"):
        resume_sweep("x", where, tasks=TASKS)
