"""What a run's folder tells about its sessions: found out, without secrets, never in the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tune_nas
from tune_nas.errors import StorageError
from tune_nas.sweep.runs import provenance
from tune_nas.sweep.runs.provenance import (
    PROVENANCE,
    read_sessions,
    record_end,
    recorded_session,
)
from tune_nas.sweep.runs.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "run")


def test_a_session_is_known_from_its_start_to_its_end(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tune-nas", "sweep", "my sweep.yaml"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@host:5000")
    with recorded_session(storage, resumed=False, address="ray:6379", data=["digits: 9 images"]):
        (running,) = read_sessions(storage)
        assert (running.ended, running.outcome) == (None, "")
    (session,) = read_sessions(storage)
    assert session.command == "tune-nas sweep 'my sweep.yaml'"
    assert session.folder == str(Path.cwd())
    assert session.environment["MLFLOW_TRACKING_URI"] == "http://me:…@host:5000"
    assert (session.address, session.data) == ("ray:6379", ["digits: 9 images"])
    assert session.versions["tune-nas"] == tune_nas.__version__
    assert {"Python", "torch", "ray", "optuna", "mlflow"} <= session.versions.keys()
    assert session.hardware["cores"].endswith(" cores")
    assert session.ended is not None and session.ended >= session.started
    assert session.outcome == "finished"
    assert "hunter2" not in (storage.read(PROVENANCE) or "")


def test_the_commit_is_that_of_the_checkout(storage: Storage) -> None:
    folder = Path(tune_nas.__file__).parents[1]
    if not (folder / ".git").exists():
        pytest.skip("not a checkout")
    with recorded_session(storage, resumed=False, address=None):
        pass
    (session,) = read_sessions(storage)
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    assert session.commit == subprocess.check_output(command, text=True).strip()


def test_a_resume_adds_a_session(storage: Storage) -> None:
    with pytest.raises(KeyboardInterrupt), recorded_session(storage, resumed=False, address=None):
        raise KeyboardInterrupt
    with pytest.raises(ValueError), recorded_session(storage, resumed=True, address=None):
        raise ValueError("secret")
    with recorded_session(storage, resumed=True, address=None):
        record_end(storage, "finished")
        record_end(storage, "never: it has an end")
    sessions = read_sessions(storage)
    assert [(each.resumed, each.outcome) for each in sessions] == [
        (False, "interrupted"),
        (True, "ended by ValueError"),
        (True, "finished"),
    ]


@pytest.mark.parametrize("damage", ["", "{", "[1, {}]", '{"a": 1}', "[" * 100_000])
def test_a_damaged_file_is_no_session_and_is_replaced(storage: Storage, damage: str) -> None:
    storage.write(PROVENANCE, damage)
    assert read_sessions(storage) == ()
    with recorded_session(storage, resumed=True, address=None):
        assert len(read_sessions(storage)) == 1


def test_entries_of_another_type_are_left_out(storage: Storage) -> None:
    storage.write(PROVENANCE, json.dumps([{"started": "x"}, {"started": 1.0, "unknown": 2}]))
    assert [each.started for each in read_sessions(storage)] == []


def test_nothing_of_it_ends_a_sweep(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError("no such machine")

    monkeypatch.setattr(provenance, "_hardware", fails)
    with recorded_session(storage, resumed=False, address=None):
        pass
    assert [each.command for each in read_sessions(storage)] == [""]

    def full(*arguments: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(Storage, "write", full)
    done = []
    with recorded_session(storage, resumed=True, address=None):
        done.append(1)
    assert done == [1]
