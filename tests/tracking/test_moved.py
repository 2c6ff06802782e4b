"""A store whose folder was moved or copied: its runs keep their files, and get new ones there."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tune_nas.errors import StorageError
from tune_nas.tracking import Experiment, MlflowTracker, RunReader
from tune_nas.tracking.moved import correct_locations


def filled(folder: Path, store: str) -> tuple[str, str]:
    """A store in a folder, with a sweep that has an artifact; returns its URI and the run."""
    folder.mkdir(parents=True)
    shutil.copy(store.removeprefix("sqlite:///"), folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("DELETE FROM experiments WHERE name != 'Default'")
    connection.close()
    tracker = MlflowTracker(f"sqlite:///{folder}/mlflow.db")
    run = tracker.sweep_run("lambda", {"a": 1})
    tracker.log_artifact(run, b"old", "old.txt")
    return f"sqlite:///{folder}/mlflow.db", run


@pytest.mark.parametrize("name", ["new", "ä new place"])
def test_a_moved_store_reads_and_writes_where_it_is(store: str, tmp_path: Path, name: str) -> None:
    _, run = filled(tmp_path / "old runs", store)
    (tmp_path / "old runs").rename(tmp_path / name)
    experiment = Experiment(f"sqlite:///{tmp_path / name}/mlflow.db")
    tracker, reader = MlflowTracker(experiment), RunReader(experiment)
    assert reader.read_artifact(run, "old.txt") == b"old"
    tracker.log_artifact(run, b"new", "folder/new.txt")
    assert reader.read_artifact(run, "folder/new.txt") == b"new"
    fresh = tracker.trial_run(run, "t", phase="search", parameters={"b": 2})
    assert (tmp_path / name / "mlartifacts" / fresh / "artifacts/parameters.yaml").is_file()
    assert not (tmp_path / "old runs").exists()


def test_a_copy_leaves_the_original_alone(store: str, tmp_path: Path) -> None:
    """In one process too, where MLflow's client caches by the run's id alone."""
    uri, run = filled(tmp_path / "old", store)
    shutil.copytree(tmp_path / "old", tmp_path / "copy")
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    copy = MlflowTracker(f"sqlite:///{tmp_path}/copy/mlflow.db")
    copy.log_artifact(run, b"new", "new.txt")
    after = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    assert after == before
    assert (tmp_path / "copy/mlartifacts" / run / "artifacts/new.txt").read_bytes() == b"new"
    with pytest.raises(StorageError, match="has no artifact"):
        RunReader(uri).read_artifact(run, "new.txt")


def test_what_was_chosen_stays(store: str, tmp_path: Path) -> None:
    """Files kept elsewhere on purpose, a store moved without its files, one that never moved."""
    uri, run = filled(tmp_path / "old", store)
    assert correct_locations(tmp_path / "old" / "mlflow.db") == 0
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "old" / "mlflow.db", tmp_path / "alone")
    assert correct_locations(tmp_path / "alone" / "mlflow.db") == 0
    assert (
        RunReader(f"sqlite:///{tmp_path}/alone/mlflow.db").read_artifact(run, "old.txt") == b"old"
    )
    assert not (tmp_path / "alone" / "mlartifacts").exists()

    chosen = tmp_path / "chosen"
    own = MlflowTracker(uri, experiment="own", artifact_location=chosen.as_uri())
    own.log_artifact(own.sweep_run("s", {}), b"x", "x.txt")
    (tmp_path / "old").rename(tmp_path / "new")
    moved = MlflowTracker(f"sqlite:///{tmp_path}/new/mlflow.db", experiment="own")
    moved.log_artifact(moved.sweep_run("s", {}), b"y", "y.txt")
    assert sorted(path.name for path in chosen.rglob("*.txt")) == ["x.txt", "y.txt"]


def test_each_location_is_corrected_once(store: str, tmp_path: Path) -> None:
    filled(tmp_path / "old", store)
    (tmp_path / "old").rename(tmp_path / "new")
    path = tmp_path / "new" / "mlflow.db"
    assert correct_locations(path) == 2  # the experiment and its run
    assert correct_locations(path) == 0
    assert correct_locations(tmp_path / "absent.db") == 0
    (tmp_path / "empty.db").touch()
    assert correct_locations(tmp_path / "empty.db") == 0
