"""Finding the checkpoint of a search by its name, trial, MLflow run or folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_nas.checkpoint import save_state
from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.origin import find_origin
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import MlflowTracker

TRIAL = TrialConfig(name="mine")


def add_trial(root: Path, name: str, trial_id: str, epochs: int = 2) -> Path:
    """Create the files of a search, and return its newest checkpoint."""
    phase = trial_id.partition("-")[0]
    records = Records(Storage(root / name), phase)
    record = records.start(
        Job(trial_id, "retrain" if phase == "retrain" else "search", phase, TRIAL)
    )
    folder = root / name / phase / trial_id
    record.folders += [str(folder), f"{folder}.1"]  # the second session did not get far
    records.save(record)
    for epoch in range(epochs):
        checkpoint = folder / f"checkpoint_{epoch:06d}"
        save_state(checkpoint, {"trial": TRIAL.to_dict(), "epoch": epoch}, name="search.pt")
    return checkpoint


def test_a_search_by_its_name_and_by_its_folders(tmp_path: Path) -> None:
    newest = add_trial(tmp_path, "one", "search-00000")
    for text in ("one", "one/search-00000", str(newest), str(newest.parent)):
        origin = find_origin(text, str(tmp_path))
        assert origin.checkpoint == str(newest)
        assert origin.trial == TRIAL
    older = newest.with_name("checkpoint_000000")
    assert find_origin(str(older), str(tmp_path)).checkpoint == str(older)


def test_of_several_searches_one_must_be_named(tmp_path: Path) -> None:
    add_trial(tmp_path, "many", "search-00000")
    second = add_trial(tmp_path, "many", "search-00001")
    repeated = add_trial(tmp_path, "many", "repeat-00000")
    assert find_origin("many/search-00001", str(tmp_path)).checkpoint == str(second)
    assert find_origin("many/repeat-00000", str(tmp_path)).checkpoint == str(repeated)
    for text in ("many", "many/search-00009"):
        with pytest.raises(
            StorageError, match=r"'many' has 3 searches.*name one, e.g. many/search"
        ):
            find_origin(text, str(tmp_path))


def test_an_mlflow_run(tmp_path: Path) -> None:
    newest = add_trial(tmp_path, "one", "search-00000")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = MlflowTracker(uri)
    sweep = tracker.sweep_run("one", {})
    run = tracker.trial_run(sweep, "search-00000", phase="search", parameters={}, name="of mine")
    retrain = tracker.trial_run(sweep, "retrain-00000", phase="retrain", parameters={})
    for text in (run, "of mine"):
        assert find_origin(text, str(tmp_path), uri).checkpoint == str(newest)
    with pytest.raises(StorageError, match="is a retrain, which has no supernet"):
        find_origin(retrain, str(tmp_path), uri)
    with pytest.raises(StorageError, match="no run with id or name 'nothing'"):
        find_origin("nothing", str(tmp_path), uri)


def test_what_cannot_be_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="'nothing' is neither a checkpoint nor a search in"):
        find_origin("nothing", str(tmp_path))
    with pytest.raises(StorageError, match="neither a checkpoint nor a search in mock:"):
        find_origin("nothing", "mock://bucket/runs")
    newest = add_trial(tmp_path, "one", "search-00000")
    (newest / "search.pt").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="skipped a checkpoint"):
        found = find_origin("one", str(tmp_path))
    assert found.checkpoint == str(newest.with_name("checkpoint_000000"))
    with pytest.raises(CheckpointError, match="damaged checkpoint"):
        find_origin(str(newest), str(tmp_path))
    Path(found.checkpoint, "search.pt").write_bytes(b"damaged")
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="no whole checkpoint"):
        find_origin("one", str(tmp_path))
