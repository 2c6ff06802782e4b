"""A source of jobs, of which some wait until others have run what they have in common."""

from __future__ import annotations

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.sharing.sharing import Sharing
from tune_nas.sweep.sources import ListSource


class SharingSource:
    """Jobs that are known in advance; one that can take over epochs waits until they are run.

    Args:
        source: The jobs.
        sharing: What they take over from each other.
    """

    waits = True
    is_bound = False

    def __init__(self, source: ListSource, sharing: Sharing) -> None:
        self.sharing, self.total = sharing, source.total
        self._left = source.left
        self._running: set[str] = set()

    def next(self) -> Job | None:
        """Return the next job that need not wait; None if there is none."""
        for job in self._left:
            if not self.sharing.waits(job, self._running):
                self._left.remove(job)
                self._running.add(job.id)
                return job
        return None

    def tell(self, record: Record) -> None:
        """Note that a trial has ended: no job waits for it any longer."""
        self._running.discard(record.job.id)

    def epochs_ahead(self) -> int:
        """Return the number of epochs of the jobs that have not started."""
        return self.sharing.left(self._left)
