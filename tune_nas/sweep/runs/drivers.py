"""Whether the driver of a sweep is alive, judged by its folder."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tune_nas.errors import StorageError
from tune_nas.report.results import PHASES
from tune_nas.sweep.options import storage_option
from tune_nas.sweep.runs.locking import is_locked, read_owner
from tune_nas.sweep.runs.plan import State, read_state, read_states
from tune_nas.sweep.runs.record_files import FOLDER
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import plural

RUNNING, LOST, INTERRUPTED = "running", "lost", "interrupted"


@dataclass(frozen=True)
class DriverStatus:
    """The status of a driver.

    Args:
        status: ``running``, ``lost`` or ``interrupted``.
        reason: How the status is known, or what to do.
    """

    status: str
    reason: str = ""


def driver_status(storage: str, name: str, identity: str | None) -> DriverStatus:
    """Return whether the driver of a sweep that has not ended is alive.

    Only the folder is examined: a lock held by a process of this machine is certain, one that
    another machine held is not, and a remote storage has none.

    Args:
        storage: Folder or URI in which sweeps are stored.
        name: Name of the sweep.
        identity: Distinguishes it from others of its name; None if not known.
    """
    try:
        folder = Storage(storage).within(name)
        state = read_state(folder)
        if state is None or identity not in (None, state.identity):
            return _unknown(f"it is not in {Storage(storage).root}")
        return status_of(folder, state, f"tune-nas resume {name}{storage_option(storage)}")
    except (OSError, StorageError) as error:
        return _unknown(f"its folder cannot be read: {error}")


def without_runs(root: Storage, known: set[str]) -> dict[str, State]:
    """Return the unfinished sweeps of a storage that have no run in MLflow, by name.

    Args:
        root: Storage of the sweeps.
        known: Identities of the sweeps that have a run.
    """
    return {
        name: state
        for name, state in read_states(root)
        if state is not None and state.status != "finished" and state.identity not in known
    }


def status_of(folder: Storage, state: State, resume: str) -> DriverStatus:
    """Return whether the driver of a run that has not ended is alive.

    Args:
        folder: The run's folder.
        state: Its state.
        resume: The command that resumes it.

    Raises:
        OSError: If the folder cannot be read.
        StorageError: If a remote folder cannot be listed.
    """
    if folder.local is not None and is_locked(folder.local):
        return DriverStatus(RUNNING)
    if state.status == "finished":
        return DriverStatus(LOST, "the sweep has finished, but MLflow was not told")
    if state.interrupted:
        reason = f"interrupted by {state.interrupted}; resume with: {resume}"
        return DriverStatus(INTERRUPTED, reason)
    if folder.local is None:
        return _silent(folder, f"if its driver is gone, resume with: {resume}")
    owner = read_owner(folder.local)
    if not owner.may_be_alive_elsewhere:
        return DriverStatus(LOST, f"its driver is gone; resume with: {resume}")
    return _silent(folder, f"if its driver on {owner.host} is gone, resume with: {resume}")


def _silent(folder: Storage, hint: str) -> DriverStatus:
    """Return the status without a lock: the time since the last result."""
    newest = max((folder.modified(f"{phase}/{FOLDER}") for phase in PHASES), default=0.0)
    if not newest:
        return DriverStatus(RUNNING, f"no result yet; {hint}")
    minutes = max(0, int(time.time() - newest) // 60)
    return DriverStatus(RUNNING, f"last result {plural(minutes, 'minute')} ago; {hint}")


def _unknown(why: str) -> DriverStatus:
    return DriverStatus(RUNNING, f"as far as MLflow knows; {why}")
