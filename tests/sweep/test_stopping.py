"""`tune-nas stop`: a driver in another process ends as after Ctrl-C, or ends one trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from standin import TASKS, write_sweep

from tune_nas.errors import StorageError
from tune_nas.sweep import RunOptions, resume_sweep
from tune_nas.sweep.manage.run_progress import run_progress
from tune_nas.sweep.manage.run_summaries import RunSummary, run_summaries
from tune_nas.sweep.manage.stopping import stop_run, stop_trial
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stop_requests import StopRequests
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep


@contextmanager
def driver(folder: Path, sweep: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = str(Path(__file__).with_name("driver.py"))
    arguments = [sys.executable, script, "start", str(folder / "runs"), "2", str(sweep)]
    with (folder / "driver.txt").open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "the driver ended early"
        assert time.monotonic() < deadline, "the driver hangs"
        time.sleep(0.05)


def summary(runs: str) -> RunSummary:
    (found,) = run_summaries(runs, ["killed"])
    return found


def test_a_trial_and_then_the_run_stop_from_elsewhere(tmp_path: Path, ray_session: None) -> None:
    """A trial ends early; the run ends as after Ctrl-C, and its resume leaves the trial alone."""
    runs, folder = str(tmp_path / "runs"), Storage(tmp_path / "runs" / "killed")
    sweep = write_sweep(tmp_path / "input", {"pause": 1}, epochs=40, seeds=[0])

    def epoch(trial_id: str) -> int:
        record = Records(folder, "search").get(trial_id)
        return 0 if record is None else record.epoch

    with driver(tmp_path, sweep) as process:
        wait_for(lambda: epoch("search-00000") >= 2 and epoch("search-00001") >= 2, process)
        found = summary(runs)
        assert (found.status, found.reason, found.running, found.lost) == ("running", "", 2, 0)
        assert (found.done, found.total) == (0, 3)
        progress = run_progress(runs, "killed")
        assert (progress.phase, progress.number, progress.phases) == ("search", 1, 1)
        assert progress.left is not None and 0 < progress.left < 600
        with pytest.raises(StorageError, match=r"no running trial 'search-00002'; running: search"):
            stop_trial(runs, "killed", "search-00002")
        assert not stop_trial(runs, "killed", "search-00001").done
        wait_for(lambda: Records(folder, "search")["search-00001"].closed, process)
        stopped = Records(folder, "search")["search-00001"]
        assert stopped.status == "stopped early" and 2 <= stopped.epoch < 40
        assert stopped.reason.startswith(
            f"stopped by the user after epoch {stopped.epoch} of 40, at valid_accuracy "
        )
        assert not StopRequests(folder).pending("search-00001")
        # The next trial takes its place.
        wait_for(lambda: epoch("search-00002") >= 1, process)
        assert stop_run(runs, "killed", wait=60).done
        assert process.wait(timeout=60) == -signal.SIGINT  # as KeyboardInterrupt ends Python
    found = summary(runs)
    assert (found.status, found.running, found.lost) == ("interrupted", 0, 2)
    command = f"tune-nas resume killed --storage {runs}"
    assert found.reason == f"interrupted by tune-nas stop; resume with: {command}"
    assert not StopRequests(folder).pending()
    reasons = {
        run.trial_id: run.tags.get("reason", "")
        for run in RunReader(f"sqlite:///{runs}/mlflow.db").list_runs()
    }
    assert reasons["search-00001"] == stopped.reason
    assert reasons["search-00000"].startswith("interrupted by tune-nas stop after epoch ")
    with pytest.raises(StorageError, match="'killed' is not running, but interrupted: inter"):
        stop_run(runs, "killed")
    for file in Path(folder.root).glob("search/records/*.json"):  # the rest need not last
        file.write_text(file.read_text().replace('\\"pause\\": 1', '\\"pause\\": 0'))
    options = RunOptions(storage=runs, concurrency=2, quiet=True)
    outcome = resume_sweep("killed", options, tasks=TASKS)
    status = {result.trial_id: result.status for result in outcome.results}
    assert status["search-00001"] == "stopped early"
    assert status["search-00000"] == status["search-00002"] == "finished"
    outcome = resume_sweep("killed", options, stopped=True, tasks=TASKS)
    assert {result.status for result in outcome.results} == {"finished"}
    assert all(len(result.history) == 40 for result in outcome.results)
    with pytest.raises(StorageError, match="no trial that was stopped by the user"):
        resume_sweep("killed", options, stopped=True, tasks=TASKS)


def test_a_driver_that_died_is_lost(tmp_path: Path) -> None:
    runs, folder = str(tmp_path / "runs"), Storage(tmp_path / "runs" / "killed")
    sweep = write_sweep(tmp_path / "input", {"pause": 1}, epochs=40)
    with driver(tmp_path, sweep) as process:
        wait_for(lambda: [r.epoch > 0 for r in Records(folder, "search")] == [True] * 2, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    found = summary(runs)
    assert (found.status, found.running, found.lost) == ("lost", 0, 2)
    assert found.best is not None and not found.best.is_final
    with pytest.raises(StorageError, match="'killed' is not running, but lost: its driver is gone"):
        stop_run(runs, "killed")
