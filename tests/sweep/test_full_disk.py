"""A full disk is reported with file and storage; old files stay, and a resume works."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin import TASKS, MakeSweep

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, StorageError
from tune_nas.files import write_atomically
from tune_nas.sweep import RunOptions, resume_sweep, run_sweep, session
from tune_nas.sweep.full_disk import told_by_name
from tune_nas.sweep.library_output import hidden_warnings
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.runs.locking import locked
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

NO_SPACE = os.strerror(errno.ENOSPC)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 5 MB; skips the test if it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the disk full whenever a file is synced; the error names no file, as of a write."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, NO_SPACE)

    monkeypatch.setattr(os, "fsync", fsync)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte, with the returned file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def check_kept(folder: Path) -> None:
    """Write over a file on a full disk: the error names it, and the old one is alone there."""
    with pytest.raises(OSError) as error:
        write_atomically(folder / "a.json", b"new" * 5000)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(folder / "a.json"))
    with pytest.raises(StorageError) as told:
        Storage(folder).write("a.json", "new" * 5000)
    assert str(told.value) == f"storage {folder} cannot be written: a.json: {NO_SPACE}"
    assert (folder / "a.json").read_text() == "old"
    assert [path.name for path in folder.iterdir() if path.name != "filler"] == ["a.json"]


def test_the_old_file_is_kept_on_a_full_disk(small_disk: Path) -> None:
    write_atomically(small_disk / "a.json", b"old")
    fill(small_disk)
    check_kept(small_disk)


def test_the_old_file_is_kept_where_no_disk_can_be_filled(tmp_path: Path, request: Any) -> None:
    write_atomically(tmp_path / "a.json", b"old")
    request.getfixturevalue("no_space")
    check_kept(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_the_log_does_not_hide_the_error() -> None:
    with pytest.raises(StorageError, match=r"^the error$"), hidden_warnings(Path("/dev/full")):
        logging.getLogger("some.library").warning("a warning")
        raise StorageError("the error")


def test_a_log_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    with hidden_warnings(tmp_path / "absent" / "log.txt"):
        logging.getLogger("some.library").warning("a warning")


@pytest.mark.parametrize("reason", [KeyboardInterrupt(), ConfigError("the error")])
def test_the_log_of_a_remote_storage_does_not_hide_the_error(
    monkeypatch: pytest.MonkeyPatch, reason: BaseException
) -> None:
    def write(self: Storage, name: str, content: str) -> None:
        raise StorageError(f"{name} cannot be written")

    monkeypatch.setattr(Storage, "write", write)
    with pytest.raises(type(reason)) as error, session._logging_to(Storage("mock://bucket")):
        logging.getLogger("some.library").warning("a warning")
        raise reason
    assert error.value is reason
    with (
        pytest.raises(StorageError, match=r"^log.txt cannot be written$"),
        session._logging_to(Storage("mock://bucket")),
    ):
        logging.getLogger("some.library").warning("a warning")


def test_a_lock_on_a_full_disk(make_sweep: MakeSweep, small_disk: Path) -> None:
    storage = Storage(small_disk / "x")
    plan = Plan(storage, make_sweep(), BaseTrials({"trial": TrialConfig()}), State())
    fill(small_disk)
    with pytest.raises(StorageError) as error, locked(plan):
        pass
    assert str(error.value) == f"storage {storage.root} cannot be written: .lock: {NO_SPACE}"


class MlflowException(Exception):  # noqa: N818
    """As MLflow's."""

    __module__ = "mlflow.exceptions"


def from_a_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


FULL = sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, NO_SPACE, "/s/x/figure.svg"),
            f"storage /s/x cannot be written: /s/x/figure.svg: {NO_SPACE}",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "storage /s/x cannot be written: Disk quota exceeded",
        ),
        (
            OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
            "storage /s/x cannot be written: no space left on device",
        ),
        (
            from_a_cause(RuntimeError("the study"), FULL),
            "storage /s/x cannot be written: database or disk is full",
        ),
        (
            from_a_cause(MlflowException("anything"), FULL),
            "MLflow store mysql://me:…@db cannot be written: database or disk is full",
        ),
        (
            MlflowException("(sqlite3.OperationalError) database or disk is full [SQL: …]"),
            "MLflow store mysql://me:…@db cannot be written: database or disk is full",
        ),
    ],
)
def test_whoever_runs_into_a_full_disk_names_it(error: Exception, says: str) -> None:
    with pytest.raises(StorageError) as told, told_by_name("/s/x", "mysql://me:secret@db"):
        raise error
    assert str(told.value) == says
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        StorageError(f"told already: {NO_SPACE}"),
        OSError(errno.EACCES, "Permission denied", "/s/x/figure.svg"),
        ValueError("anything"),
        KeyboardInterrupt(),
    ],
)
def test_another_error_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, told_by_name("/s/x", "sqlite:///m.db"):
        raise error
    assert raised.value is error


@pytest.mark.sweep
def test_a_sweep_on_a_disk_that_gets_full_is_one_line_and_can_be_resumed(
    make_sweep: MakeSweep,
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ray_session: None,
) -> None:
    sweep = make_sweep()
    where = {"mlflow": f"sqlite:///{tmp_path}/mlflow.db", "quiet": True, "concurrency": 1}
    expected = run_sweep(
        sweep, RunOptions(storage=str(tmp_path / "big"), **where), "x", tasks=TASKS
    )
    options = RunOptions(storage=str(small_disk / "runs"), **where)
    add, count = Records.add, iter(range(5))

    def add_or_fill(self: Records, *arguments: Any, **more: Any) -> bool:
        if next(count, None) is None:
            fill(small_disk)
        return add(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Records, "add", add_or_fill)
        with pytest.raises(StorageError) as error:
            run_sweep(sweep, options, "x", tasks=TASKS)
    folder = small_disk / "runs" / "x"
    record = "search/records/search-00001.json"
    assert str(error.value) == f"storage {folder} cannot be written: {record}: {NO_SPACE}"

    (small_disk / "filler").unlink()
    resumed = resume_sweep("x", options, tasks=TASKS)
    assert [result.to_dict() for result in resumed.results] == [
        result.to_dict() for result in expected.results
    ]
    assert resumed.n_failed == 0
