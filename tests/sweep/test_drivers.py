"""Whether a driver is alive: judged by the lock of its folder, and the message without a lock."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from standin import MakeSweep, write_sweep
from typer.testing import CliRunner

from tune_nas.cli import app
from tune_nas.config import TrialConfig
from tune_nas.errors import NameTakenError
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.runs import locking, remote_folder
from tune_nas.sweep.runs.drivers import DriverStatus, driver_status
from tune_nas.sweep.runs.locking import is_locked, locked, read_owner
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import MlflowTracker

DRIVER = str(Path(__file__).with_name("driver.py"))


@pytest.fixture
def plan(make_sweep: MakeSweep, tmp_path: Path) -> Plan:
    """A sweep "x" that was started, without a driver."""
    sweep = make_sweep().model_copy(update={"name": "x"})
    bases = BaseTrials({"trial": TrialConfig()})
    plan = Plan(Storage(tmp_path / "runs" / "x"), sweep, bases, State(identity="me"))
    plan.write()
    return plan


@contextmanager
def held_elsewhere(lock: Path) -> Iterator[None]:
    """Let another process hold a lock."""
    code = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield
    finally:
        process.communicate()


def status(tmp_path: Path, identity: str | None = "me") -> DriverStatus:
    return driver_status(str(tmp_path / "runs"), "x", identity)


def lost(tmp_path: Path) -> DriverStatus:
    command = f"tune-nas resume x --storage {tmp_path / 'runs'}"
    return DriverStatus("lost", f"its driver is gone; resume with: {command}")


def note(plan: Plan, *owner: str) -> None:
    (Path(plan.storage.root) / ".lock").write_text(" ".join(owner))


def test_a_driver_lives_as_long_as_its_lock(plan: Plan, tmp_path: Path) -> None:
    folder = Path(plan.storage.root)
    assert status(tmp_path) == lost(tmp_path)
    assert not (folder / ".lock").exists()  # looking writes nothing
    with locked(plan):
        assert status(tmp_path) == DriverStatus("running")
        assert read_owner(folder).process == str(os.getpid())
    assert status(tmp_path) == lost(tmp_path)
    with held_elsewhere(folder / ".lock"):
        assert status(tmp_path) == DriverStatus("running")
    assert status(tmp_path) == lost(tmp_path)


@pytest.mark.parametrize(
    ("owner", "known"),
    [
        (("123",), True),  # of an earlier version
        (("123", "HERE", "before-a-reboot"), True),
        (("123", "a-container", "BOOT"), True),
        (("123", "far", "another"), False),
        ((), True),
    ],
)
def test_a_free_lock_of_another_machine_is_no_proof(
    plan: Plan, tmp_path: Path, owner: tuple[str, ...], known: bool
) -> None:
    here = {"HERE": socket.gethostname(), "BOOT": locking._this_process().boot}
    note(plan, *(here.get(field, field) for field in owner))
    if known:
        assert status(tmp_path) == lost(tmp_path)
        return
    found = status(tmp_path)
    assert found.status == "running"
    assert found.reason == (
        "no result yet; if its driver on far is gone, resume with: "
        f"tune-nas resume x --storage {tmp_path / 'runs'}"
    )
    plan.storage.write("search/records/search-00000.json", "{}")
    record = Path(plan.storage.root) / "search" / "records" / "search-00000.json"
    then = time.time() - 3 * 60 - 20
    os.utime(record, (then, then))
    assert status(tmp_path).reason.startswith("last result 3 minutes ago; if its driver on far")


def test_a_second_driver_is_told_of_the_other_machine(plan: Plan) -> None:
    lock = Path(plan.storage.root) / ".lock"
    note(plan, "123", "far", "another")
    with (
        held_elsewhere(lock),
        pytest.raises(NameTakenError, match=r"^'x' is running, in process 123 on far$"),
        locked(plan),
    ):
        pass


def test_looking_at_a_lock_keeps_no_driver_out(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that starts while another process examines the lock waits until it has finished."""
    import fcntl

    folder = Path(plan.storage.root)
    note(plan)
    looks = (folder / ".lock").open("rb")
    fcntl.flock(looks, fcntl.LOCK_SH)
    monkeypatch.setattr(locking.time, "sleep", lambda _: looks.close())
    with locked(plan):
        assert is_locked(folder)


def test_what_is_not_known_is_said(plan: Plan, tmp_path: Path) -> None:
    here = f"as far as MLflow knows; it is not in {tmp_path / 'runs'}"
    assert status(tmp_path, "another") == DriverStatus("running", here)
    assert status(tmp_path, None) == lost(tmp_path)
    plan.write_state(status="finished")
    assert status(tmp_path).reason == "the sweep has finished, but MLflow was not told"
    plan.storage.remove()
    assert status(tmp_path) == DriverStatus("running", here)
    (tmp_path / "file").touch()
    found = driver_status(str(tmp_path / "file"), "x", "me")
    assert found.status == "running" and "must be a folder" in found.reason


def test_a_remote_storage_tells_of_the_last_result_alone(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    remote = SubTreeFileSystem(str(tmp_path), LocalFileSystem())
    systems = SimpleNamespace(from_uri=lambda uri: (remote, uri.partition("://")[2]))
    monkeypatch.setattr(remote_folder, "FileSystem", systems)
    ask = "if its driver is gone, resume with: tune-nas resume x --storage mock://runs"
    assert driver_status("mock://runs", "x", "me") == DriverStatus(
        "running", f"no result yet; {ask}"
    )
    Storage("mock://runs/x").write("repeat/records/repeat-00000.json", "{}")
    assert driver_status("mock://runs", "x", "me") == DriverStatus(
        "running", f"last result 0 minutes ago; {ask}"
    )
    assert driver_status("mock://runs", "y", "me").reason == (
        "as far as MLflow knows; it is not in mock://runs"
    )


def listed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    command = ["list", "runs", "--storage", str(folder), "--format", "json", *arguments]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout))


def test_a_sweep_without_a_run_is_listed(plan: Plan, tmp_path: Path) -> None:
    """Its driver was killed before it contacted MLflow, e.g. while Ray started."""
    plan.write_state(mlflow=f"sqlite:///{tmp_path}/runs/mlflow.db")
    (row,) = listed(tmp_path / "runs")
    assert (row["sweep"], row["status"], row["reason"]) == ("x", "lost", lost(tmp_path).reason)
    with locked(plan):
        assert listed(tmp_path / "runs")[0]["status"] == "running"
    assert listed(tmp_path / "runs", "--mlflow", f"sqlite:///{tmp_path}/other.db") == []
    table = CliRunner().invoke(app, ["list", "runs", "--storage", str(tmp_path / "runs")]).stdout
    assert "its driver is gone; resume with: tune-nas resume x" in re.sub(r"\s+", " ", table)


def test_runs_of_two_storages_in_one_store_are_told_apart(plan: Plan, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/both.db"
    plan.write_state(mlflow=uri)
    tracker = MlflowTracker(uri)
    for identity in ("me", "another"):
        run = tracker.sweep_run("x", {}, identity=identity)
        tracker.trial_run(run, "search-00000", phase="search", parameters={})
    rows = listed(tmp_path / "runs", "--mlflow", uri)
    found = sorted((row["phase"], row["status"], row["reason"].partition(";")[0]) for row in rows)
    assert found == [
        ("search", "lost", ""),
        ("search", "running", ""),
        ("sweep", "lost", "its driver is gone"),
        ("sweep", "running", "as far as MLflow knows"),
    ]


@pytest.mark.sweep
def test_a_driver_that_is_killed_is_listed_as_lost(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    file = write_sweep(tmp_path / "input", {"pause": 0.3}, epochs=60)
    process = subprocess.Popen([sys.executable, DRIVER, "start", str(runs), "1", str(file)])
    try:
        wait_for(lambda: any((runs / "killed" / "search" / "records").glob("*.json")), process)
        alive = listed(runs)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert {row["status"] for row in alive} == {"running"}
    assert {row["reason"] for row in alive} == {""}
    rows = listed(runs)
    assert {row["status"] for row in rows} == {"lost"}
    (reason,) = (row["reason"] for row in rows if row["phase"] == "sweep")
    assert reason == f"its driver is gone; resume with: tune-nas resume killed --storage {runs}"


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "it ended early"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.1)
