"""A run that is to be removed, renamed or cleaned: it must not be running, nor be in use."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.errors import StorageError
from tune_nas.sweep.manage.run_summaries import run_status
from tune_nas.sweep.options import storage_option
from tune_nas.sweep.runs.drivers import RUNNING
from tune_nas.sweep.runs.plan import TRIALS, State, read_state, read_states
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_exists, store_uri, unless_moved


@dataclass(frozen=True)
class ManagedRun:
    """A run in a storage.

    Args:
        storage: Folder or URI in which runs are stored.
        name: Its name.
    """

    storage: str
    name: str

    @property
    def folder(self) -> Storage:
        """Its folder."""
        return Storage(self.storage).within(self.name)

    @property
    def state(self) -> State | None:
        """Its state; None if it is damaged."""
        return read_state(self.folder)

    def check_not_running(self, *, force: bool = False) -> None:
        """Check that the run has no driver.

        Args:
            force: Accept a run whose driver is on another machine, or of a remote storage, where it
                is not certain that the driver is gone.

        Raises:
            StorageError: If it is running, or may be.
        """
        state, folder = self.state, self.folder
        if state is None:
            return
        status, reason = run_status(folder, state, self.name, self.storage)
        if status != RUNNING or (reason and force):
            return
        if not reason:
            stop = f"tune-nas stop {self.name}{storage_option(self.storage)}"
            raise StorageError(f"'{self.name}' is running; stop it: {stop}")
        raise StorageError(
            f"'{self.name}' may be running: {reason.partition(';')[0]}; if its driver is gone, "
            "give `force`"
        )

    def check_unused(self) -> None:
        """Check that no unfinished run continues from a checkpoint of this one.

        Raises:
            StorageError: If one does; names it.
        """
        root = Storage(self.storage)
        path = f"{root.root}/{self.name}/"
        for other, state in read_states(root):
            unfinished = state is not None and state.status != "finished"
            if other != self.name and unfinished:
                text = root.within(other).read(TRIALS) or ""
                if path in text:
                    raise StorageError(
                        f"'{self.name}' is used by '{other}', which has not finished; resume or "
                        f"remove '{other}' first"
                    )

    def store(self) -> str | None:
        """Return the URI of the MLflow store that has the run; None if it does not exist.

        Raises:
            StorageError: If the storage is remote and the run names no store.
        """
        state, root = self.state, Storage(self.storage)
        if state is None:
            return None
        uri = store_uri(unless_moved(state.mlflow, root, state.identity), root)
        return uri if store_exists(uri) else None
