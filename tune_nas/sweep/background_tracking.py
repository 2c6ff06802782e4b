"""Opening the MLflow store of a run in a thread, after a short first epoch or during a long one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.tracking import SweepTracking
from tune_nas.tracking import Tracker
from tune_nas.tracking.store import check_file

OPENED_AFTER = 20.0
"""Seconds after which the store is opened although no trial has ended or run two epochs."""


class BackgroundTracking:
    """A `SweepTracking` that a thread opens; importing MLflow and opening a store take seconds.

    An import slows the steps of the main thread down, which waits for Python's lock after each of
    torch's operations, so that a short first epoch would take twice as long. Until the store is
    open, `update` does nothing: the next one, or `conclude`, writes what is missing.

    Args:
        opening: Opens the tracking.
        uri: MLflow tracking URI of the store.
        opened_after: Seconds after which it is opened during the first two epochs.

    Raises:
        StorageError: If the file of the store cannot be used.
    """

    def __init__(
        self, opening: Callable[[], SweepTracking], uri: str, opened_after: float = OPENED_AFTER
    ) -> None:
        check_file(uri)
        self.uri = uri
        self._due = threading.Event()
        self._opened: SweepTracking | None = None
        self._error: BaseException | None = None

        def run() -> None:
            self._due.wait(opened_after)
            try:
                self._opened = opening()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, name="opening MLflow")
        self._thread.start()

    def update(self, records: Records, job_id: str) -> None:
        """Write the current record of a trial, once the store is open.

        Raises:
            StorageError: If the store cannot be used.
        """
        if not self._thread.is_alive():
            self._tracking().update(records, job_id)
        elif records[job_id].closed or records[job_id].epoch > 1:
            self._due.set()

    def check(self) -> None:
        """Raise the error of a store that cannot be used, as soon as that is known.

        Raises:
            StorageError: If the store cannot be used.
        """
        if self._error is not None:
            raise self._error

    def settle(self) -> None:
        """Write everything that the store lacks."""
        self._tracking().settle()

    def conclude(self, actions: list[Callable[[Tracker, str], None]]) -> None:
        """Write everything that is missing, then the sweep's own run."""
        self._tracking().conclude(actions)

    def missing(self) -> list[str]:
        """Return what could not be written, in one line; empty if nothing is missing."""
        return self._tracking().missing()

    def remarks(self) -> list[str]:
        """Return the content of trials that no MLflow store accepts, one line each."""
        return self._tracking().remarks()

    @contextmanager
    def closing(self, interruption: Interruption) -> Iterator[None]:
        """Leave no run RUNNING after an interruption, or an error that ends the sweep."""
        try:
            yield
        except (KeyboardInterrupt, Exception):
            self._join()
            if self._opened is None:  # no run was opened
                raise
            with self._opened.closing(interruption):
                raise

    def _tracking(self) -> SweepTracking:
        """Return the tracking, once it is open.

        Raises:
            StorageError: If the store cannot be used.
        """
        self._join()
        self.check()
        assert self._opened is not None  # otherwise there was an error
        return self._opened

    def _join(self) -> None:
        """Wait until the store is open, or known to be unusable."""
        self._due.set()
        self._thread.join()
