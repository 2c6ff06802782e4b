"""Requests to end a running sweep or one of its trials: files that the driver looks for.

A file works from any terminal and machine, for a local and a remote storage. A signal would need
the driver's process id, which says nothing in another container or on another machine.
"""

from __future__ import annotations

import time
from contextlib import suppress

from tune_nas.errors import StorageError
from tune_nas.sweep.runs.storage import Storage

_FOLDER = "stop"
_RUN = "run"  # the file of the request that ends the whole run; others have a trial's id
_LOCAL_SECONDS, _REMOTE_SECONDS = 0.5, 5.0
BY_USER = "the user"
"""Who has stopped a trial, in its reason."""


class StopRequests:
    """The requests in the folder of a run.

    Args:
        storage: The run's folder.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pause = _REMOTE_SECONDS if storage.local is None else _LOCAL_SECONDS
        self._known: frozenset[str] = frozenset()
        self._looked = float("-inf")

    def request(self, trial_id: str = "") -> None:
        """Ask the driver to end a trial after its next epoch, or the run.

        Raises:
            StorageError: If the storage cannot be written.
        """
        self._storage.write(f"{_FOLDER}/{trial_id or _RUN}", "")

    def of_run(self) -> bool:
        """Return whether the run is to end; looks at most twice a second, if remote every 5 s."""
        return _RUN in self._current()

    def of_trial(self, trial_id: str) -> bool:
        """Return whether a trial is to end, as `of_run` does."""
        return trial_id in self._current()

    def pending(self, trial_id: str = "") -> bool:
        """Return whether a request is still in the storage; looks at once."""
        return (trial_id or _RUN) in self._storage.names(_FOLDER)

    def withdraw(self, trial_id: str = "") -> None:
        """Remove a request, e.g. because it was fulfilled; without a request, do nothing."""
        with suppress(StorageError):
            self._storage.delete(f"{_FOLDER}/{trial_id or _RUN}")
        self._known -= {trial_id or _RUN}

    def _current(self) -> frozenset[str]:
        now = time.monotonic()
        if now - self._looked >= self._pause:
            self._looked = now
            with suppress(StorageError):  # a storage that is away for a moment ends no sweep
                self._known = frozenset(self._storage.names(_FOLDER))
        return self._known
