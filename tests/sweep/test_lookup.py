"""What a user's text names: one typed reference for every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_nas.config import TrialConfig
from tune_nas.errors import StorageError
from tune_nas.sweep import RunOptions, resume_sweep
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.lookup import RunReference, find_run
from tune_nas.sweep.runs.plan import STATE
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import MlflowTracker


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A storage with a sweep of two searches and a retraining run, and a lone retraining run."""
    for name, ids in (
        ("lambda", ("search-00000", "search-00001", "retrain-00000")),
        ("lone", ("retrain-00000",)),
    ):
        storage = Storage(tmp_path / name)
        for trial_id in ids:
            phase = trial_id.partition("-")[0]
            Records(storage, phase).start(Job(trial_id, phase, phase, TrialConfig()))
    Storage(tmp_path / "lambda").write(STATE, '{"kind": "sweep", "identity": "x"}')
    return str(tmp_path)


def found(reference: RunReference) -> str | None:
    return None if reference.record is None else reference.record.job.id


def test_a_name_and_a_trial(root: str) -> None:
    sweep = find_run("lambda", root)
    assert (sweep.exists, sweep.name, sweep.trial_id, sweep.checkpoints) == (True, "lambda", "", ())
    assert sweep.state is not None and sweep.state.identity == "x"
    trial = find_run("lambda/search-00001", root)
    assert (trial.state, found(trial)) == (None, "search-00001")
    for text in ("lambda", "lambda/search-00002", "lambda/retrain-00000"):
        with pytest.raises(StorageError, match="'lambda' has 2 searches"):
            _ = find_run(text, root).record


def test_a_retraining_run_only_where_one_is_meant(root: str) -> None:
    assert found(find_run("lone", root)) is None
    assert found(find_run("lone", root, retraining=True)) == "retrain-00000"
    assert found(find_run("lambda/retrain-00000", root, retraining=True)) == "retrain-00000"
    with pytest.raises(StorageError, match="'lambda' has 2 searches"):
        _ = find_run("lambda", root, retraining=True).record


def test_nothing(root: str) -> None:
    nothing = find_run("nothing", root)
    assert (nothing.exists, nothing.state, nothing.record, nothing.tracked) == (False,) + (
        None,
    ) * 3


def test_mlflow_is_asked_for_what_the_storage_does_not_have(root: str) -> None:
    uri = f"sqlite:///{root}/mlflow.db"
    tracker = MlflowTracker(uri)
    sweep = tracker.sweep_run("lambda", {})
    tracker.trial_run(sweep, "search-00001", phase="search", parameters={}, name="of mine")
    run = find_run("of mine", root, uri)
    assert run.tracked is not None and (run.name, run.trial_id) == ("lambda", "search-00001")
    assert found(run) == "search-00001"
    assert find_run("lambda/search-00000", root, uri).tracked is None
    assert find_run("of mine", root).tracked is None
    with pytest.raises(StorageError, match="no run with id or name 'of yours'"):
        find_run("of yours", root, uri)


def test_checkpoints_only_where_they_may_be_given(root: str) -> None:
    trial = Path(root, "lambda", "search", "search-00000")
    for number in (1, 0):
        (trial / f"checkpoint_{number:06d}").mkdir(parents=True)
        (trial / f"checkpoint_{number:06d}" / "search.pt").touch()
    newest, oldest = f"{trial}/checkpoint_000001", f"{trial}/checkpoint_000000"
    assert find_run(str(trial), root, checkpoints=True).checkpoints == (newest, oldest)
    one = find_run(oldest, root, checkpoints=True)
    assert (one.checkpoints, one.name, one.exists) == ((oldest,), "", False)
    assert find_run(oldest, root).checkpoints == ()


def test_a_resume_accepts_a_trial_of_the_run(root: str) -> None:
    """The plan of the run, which these do not have, is read next."""
    options = RunOptions(storage=root)
    for text in ("lambda", "lambda/search-00001", "lambda/retrain-00000"):
        with pytest.raises(StorageError, match=r"lambda/sweep\.yaml is missing or damaged"):
            resume_sweep(text, options)
    with pytest.raises(StorageError, match="'lambda' has no trial 'search-00002'"):
        resume_sweep("lambda/search-00002", options)
