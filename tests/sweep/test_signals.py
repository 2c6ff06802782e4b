"""Sweeps ended by signals: each run is closed, each process stopped, each lock released."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from standin import TASKS, MakeSweep, write_sweep

from tune_nas.errors import StorageError
from tune_nas.sweep import RunOptions, resume_sweep, run_sweep
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_sweep_that_a_second_driver_cannot_disturb(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The first driver holds a lock while it runs; after Ctrl-C it leaves no run RUNNING."""
    with driver(tmp_path, concurrency=1) as process:
        wait_for(lambda: epochs(tmp_path) >= 2, process)
        with pytest.raises(StorageError, match=f"is running, in process {process.pid}"):
            resume_sweep("killed", options(tmp_path), tasks=TASKS)
        os.kill(process.pid, number)
        assert process.wait(timeout=60) == -signal.SIGINT  # as KeyboardInterrupt ends Python
    assert "KeyboardInterrupt" in (tmp_path / "driver.txt").read_text()
    runs = RunReader(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}").list_runs()
    assert {run.phase for run in runs} == {"sweep", "search"}
    assert {run.state for run in runs} == {"KILLED"}
    assert read_plan(Storage(tmp_path / "runs" / "killed")).state.status == "running"


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ([signal.SIGINT, signal.SIGINT], "Ctrl-C"),
        ([signal.SIGTERM], "SIGTERM"),
        ([signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGINT], "Ctrl-C"),
    ],
)
def test_several_quick_signals_leave_no_run_running(
    tmp_path: Path, signals: list[signal.Signals], reason: str
) -> None:
    with driver(tmp_path, concurrency=2) as process:
        wait_for(lambda: epochs(tmp_path) >= 3, process)
        for number in signals:
            os.kill(process.pid, number)
            time.sleep(0.1)
        assert process.wait(timeout=90) == -signal.SIGINT  # as KeyboardInterrupt ends Python
    runs = RunReader(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}").list_runs()
    assert {run.state for run in runs} == {"KILLED"}
    for run in runs:
        assert run.tags["reason"].startswith(f"interrupted by {reason}")


def test_ctrl_c_in_a_notebook_leaves_no_process_of_a_trial(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray continues there: processes of trials would keep its CPUs, and block a resume."""
    import ray

    add, n_results = Records.add, iter(range(3))

    def add_or_interrupt(self: Records, *args: Any, **more: Any) -> bool:
        if next(n_results, None) is None and threading.current_thread() is main:
            os.kill(os.getpid(), signal.SIGINT)
        return add(self, *args, **more)

    main = threading.main_thread()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as raised:
        patch.setattr(Records, "add", add_or_interrupt)
        run_sweep(make_sweep({"pause": 0.1}), options(tmp_path), "out", tasks=TASKS)
    assert raised.value.__suppress_context__
    deadline = time.monotonic() + 20
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    outcome = resume_sweep("out", options(tmp_path), tasks=TASKS)
    assert [len(result.history) for result in outcome.results] == [4, 4, 4]


def options(folder: Path) -> RunOptions:
    return RunOptions(storage=str(folder / "runs"), quiet=True)


@contextmanager
def driver(folder: Path, concurrency: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a driver in a separate process, which is killed if the block leaves it running."""
    file = write_sweep(folder / "input", {"pause": 0.3}, epochs=60)
    command = [sys.executable, str(Path(__file__).with_name("driver.py")), "start"]
    command += [str(folder / "runs"), str(concurrency), str(file)]
    with (folder / "driver.txt").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()


def epochs(folder: Path) -> int:
    try:
        return sum(record.epoch for record in Records(Storage(folder / "runs/killed"), "search"))
    except StorageError:  # half-written
        return 0


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
