"""Asking the driver of a running run to stop, from another terminal or machine."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from tune_nas.errors import StorageError
from tune_nas.paths import STATE
from tune_nas.sweep.manage.run_summaries import run_status
from tune_nas.sweep.manage.trial_states import read_trial_states
from tune_nas.sweep.runs.drivers import RUNNING
from tune_nas.sweep.runs.plan import read_state
from tune_nas.sweep.runs.stop_requests import StopRequests
from tune_nas.sweep.runs.storage import Storage

_PAUSE = 0.2


@dataclass(frozen=True)
class Stopped:
    """The answer to a request to stop.

    Args:
        name: The run.
        trial_id: The trial; empty if the run is to stop.
        done: Whether it has stopped; otherwise the driver has not answered yet.
    """

    name: str
    trial_id: str
    done: bool


def stop_run(storage: str, name: str, *, wait: float = 0.0) -> Stopped:
    """Ask the driver of a run to stop as Ctrl-C does; the run can be resumed.

    Args:
        storage: Folder or URI in which runs are stored.
        name: The run.
        wait: Seconds to wait until it has stopped; Ctrl-C ends the waiting.

    Raises:
        StorageError: If the run is not running, or the storage cannot be written.
    """
    folder = _running(storage, name)
    requests = StopRequests(folder)
    requests.request()
    deadline = time.monotonic() + wait
    with suppress(KeyboardInterrupt):  # ends the waiting; the request stays
        while time.monotonic() < deadline:
            state = read_state(folder)
            if state is not None and run_status(folder, state, name, storage)[0] != RUNNING:
                requests.withdraw()  # it may have ended by itself
                return Stopped(name, "", done=True)
            time.sleep(_PAUSE)
    return Stopped(name, "", done=False)


def stop_trial(storage: str, name: str, trial_id: str) -> Stopped:
    """Ask the driver of a run to end a trial after its next epoch, as stopped early.

    Raises:
        StorageError: If the run has no such trial that is running, or the storage cannot be
            written.
    """
    folder = _running(storage, name)
    running = [trial.trial_id for trial in read_trial_states(folder) if trial.is_running]
    if trial_id not in running:
        known = f"; running: {', '.join(running)}" if running else ""
        raise StorageError(f"'{name}' has no running trial '{trial_id}'{known}")
    StopRequests(folder).request(trial_id)
    return Stopped(name, trial_id, done=False)


def _running(storage: str, name: str) -> Storage:
    """Return the folder of a running run.

    Raises:
        StorageError: If the run is not running.
    """
    folder = Storage(storage).within(name)
    state = read_state(folder)
    if state is None:
        raise StorageError(f"{folder.root}/{STATE} is missing or damaged")
    status, reason = run_status(folder, state, name, storage)
    if status != RUNNING:
        hint = f": {reason}" if reason else ""
        raise StorageError(f"'{name}' is not running, but {status}{hint}")
    return folder
