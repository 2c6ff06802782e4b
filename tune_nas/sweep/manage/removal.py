"""Removing a run: its folder, and its runs in MLflow."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tune_nas.errors import StorageError
from tune_nas.paths import STATE
from tune_nas.sweep.manage.managed_run import ManagedRun
from tune_nas.sweep.runs.locking import locked_folder
from tune_nas.sweep.runs.plan import REMOVED
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking.run_changes import remove_runs


@dataclass(frozen=True)
class Removed:
    """A run that was removed.

    Args:
        name: Its name.
        size: Bytes of its folder.
        tracked: Number of its runs in MLflow that were deleted.
    """

    name: str
    size: int
    tracked: int


def remove_run(
    storage: str, name: str, *, mlflow_runs: bool = True, force: bool = False
) -> Removed:
    """Remove a run that is not running.

    Its runs in MLflow are deleted first, and its folder is renamed before its files go: after a
    kill, the run is there as before or gone, and `remove_run` can be repeated.

    Args:
        storage: Folder or URI in which runs are stored.
        name: The run.
        mlflow_runs: Whether to delete its runs in MLflow, too. MLflow keeps deleted runs until
            ``mlflow gc``.
        force: Accept a run whose driver may be alive on another machine.

    Raises:
        StorageError: If it is running or used by an unfinished run, or something cannot be removed.
    """
    run = ManagedRun(storage, name)
    folder = run.folder
    run.check_not_running(force=force)
    run.check_unused()
    size, tracked = folder.size(), 0
    with locked_folder(folder, name):
        state, uri = run.state, run.store() if mlflow_runs else None
        if state is not None and uri is not None:
            tracked = remove_runs(uri, name, state.identity)
            if state.renamed_from:
                tracked += remove_runs(uri, state.renamed_from, state.identity)
        if folder.local is not None:
            _remove_local(folder.local)
        else:
            _remove_remote(folder)
    return Removed(name, size, tracked)


def _remove_local(folder: Path) -> None:
    for leftover in folder.parent.glob(f"{REMOVED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    gone = folder.with_name(f"{REMOVED}{os.getpid()}-{folder.name[:80]}")
    try:
        if folder.is_symlink():
            folder.unlink()  # its files are elsewhere, and stay
            return
        folder.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{error.filename or folder} cannot be removed: {reason}") from error


def _remove_remote(folder: Storage) -> None:
    folder.delete(STATE)  # without it, the folder is not a run
    folder.remove()
    if left := folder.names():
        raise StorageError(f"{folder.root} cannot be removed completely: {left[0]} is left")
