"""New sqlite stores as copies of an empty one that MLflow has made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from tune_nas.tracking import Experiment, MlflowTracker, RunReader


def schema(store: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the tables of a store, with the rows of those that say its version."""
    with closing(sqlite3.connect(store)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name")
        versions = connection.execute("SELECT * FROM alembic_version")
        spaces = connection.execute("SELECT name FROM workspaces")
        return {
            "made": made.fetchall(),
            "versions": versions.fetchall(),
            "spaces": spaces.fetchall(),
        }


def experiments(store: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store)) as connection:
        found = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments")
        return sorted(found.fetchall())


def test_the_second_store_is_a_copy_and_like_one_of_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = tmp_path / "a" / "mlflow.db", tmp_path / "b" / "mlflow.db"
    experiment = Experiment(f"sqlite:///{first}")
    MlflowTracker(experiment).sweep_run("mine", {"x": 1})
    cached = tmp_path / "cache" / "tune-nas" / f"mlflow-{version('mlflow')}.db"
    assert experiments(cached) == []
    made = cached.stat().st_mtime_ns
    experiment = Experiment(f"sqlite:///{second}")
    assert cached.stat().st_mtime_ns == made
    assert schema(second) == schema(first)
    for store in (first, second):
        (default, own) = experiments(store)
        assert default == (0, "Default", str(Path("mlruns/0").absolute()))
        assert own == (1, "tune-nas", (store.parent / "mlartifacts").as_uri())
    run = MlflowTracker(experiment).sweep_run("other", {"x": 2})
    assert [each.run_id for each in RunReader(experiment).list_runs()] == [run]


def test_a_cache_that_cannot_be_used_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    Experiment(f"sqlite:///{tmp_path}/mlflow.db")
    assert [name for _, name, _ in experiments(tmp_path / "mlflow.db")] == ["Default", "tune-nas"]
