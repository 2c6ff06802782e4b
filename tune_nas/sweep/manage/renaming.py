"""Renaming a run: its folder, its plan and its runs in MLflow."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.errors import NameTakenError, StorageError
from tune_nas.sweep.first_checks import check_name
from tune_nas.sweep.manage.managed_run import ManagedRun
from tune_nas.sweep.runs.locking import locked_folder
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.plan import Plan, read_plan, read_state
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_exists
from tune_nas.tracking.run_changes import rename_runs


@dataclass(frozen=True)
class Renamed:
    """A run that was renamed.

    Args:
        old: Its earlier name.
        name: Its name.
        tracked: Number of its runs in MLflow that were changed.
    """

    old: str
    name: str
    tracked: int


def rename_run(storage: str, old: str, name: str) -> Renamed:
    """Rename a run that is not running.

    The folder is renamed in one step, and the plan takes its name from the folder. The earlier name
    stays in the state until MLflow has been told: after a kill, repeating the command or resuming
    the run completes it.

    Args:
        storage: Folder in which runs are stored; a remote storage cannot rename.
        old: The run.
        name: Its new name.

    Raises:
        ConfigError: If the new name is not valid.
        NameTakenError: If the new name exists.
        StorageError: If the run does not exist, is running, is used by an unfinished run, or the
            storage is remote or cannot be written.
    """
    check_name(name)
    root = Storage(storage)
    if root.local is None:
        raise StorageError(f"storage {root.root} is remote, where a folder cannot be renamed")
    begun = read_state(root.within(name))
    if old not in root.names() and begun is not None and begun.renamed_from == old:
        with locked_folder(root.within(name), name):
            return Renamed(old, name, _finish(storage, read_plan(root.within(name))))
    run = ManagedRun(storage, existing_run(old, storage).name)
    _check_free(root, name)
    run.check_not_running()
    run.check_unused()
    source, target = root.local / old, root.local / name
    with locked_folder(run.folder, old):
        plan = read_plan(run.folder)
        if plan.state.renamed_from and plan.state.renamed_from != old:
            _finish(storage, plan)  # of an earlier renaming
        _check_free(root, name)  # another process may have taken it meanwhile
        plan.write_state(renamed_from=old)
        try:
            source.rename(target)
        except OSError as error:
            plan.write_state(renamed_from="")
            reason = error.strerror or str(error)
            raise StorageError(f"{source} cannot be renamed to {target}: {reason}") from error
        return Renamed(old, name, _finish(storage, read_plan(root.within(name))))


def finish_renaming(plan: Plan, uri: str | None) -> int:
    """Complete a renaming that was interrupted: tell MLflow, then forget the earlier name.

    Args:
        plan: The run; its folder is locked.
        uri: URI of the MLflow store; None if there is none.

    Returns:
        Number of its runs in MLflow that were changed.

    Raises:
        StorageError: If the store cannot be used.
    """
    state, tracked = plan.state, 0
    if not state.renamed_from:
        return 0
    if state.renamed_from != plan.sweep.name and uri is not None and store_exists(uri):
        tracked = rename_runs(uri, state.renamed_from, state.identity, plan.sweep.name)
    plan.write_sweep()
    plan.write_state(renamed_from="")
    return tracked


def _check_free(root: Storage, name: str) -> None:
    if name in root.names():
        raise NameTakenError(f"'{name}' exists in {root.root}; choose another name")


def _finish(storage: str, plan: Plan) -> int:
    return finish_renaming(plan, ManagedRun(storage, plan.sweep.name).store())
