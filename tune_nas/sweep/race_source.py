"""The source of a race over seeds, whose jobs depend on the trials that have ended."""

from __future__ import annotations

from collections.abc import Callable

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records


class RaceSource:
    """Jobs of a race: after each round, a further seed for the configurations that can still win.

    Nothing is stored but the records of the trials, from which every decision is made again; so a
    race that was interrupted continues as if it had not been.

    Args:
        due: Returns the jobs that are due, given the records, and the most that there may be.
        records: Records of the phase.

    Attributes:
        left: Jobs that are due and still to be started.
        total: The most jobs that there may be; fewer once a configuration is dropped.
    """

    waits = is_bound = True
    sharing = None

    def __init__(self, due: Callable[[], tuple[list[Job], int]], records: Records) -> None:
        self._due, self._records = due, records
        # A job that was started but is not due anymore, since another is now better, runs to its
        # end.
        self.left = [record.job for record in records if not record.ended]
        self._taken = {record.job.id for record in records}
        self._add_due()

    def next(self) -> Job | None:
        """Return the next job, or None if the round has no further one."""
        return self.left.pop(0) if self.left else None

    def tell(self, record: Record) -> None:
        """Add the jobs of the next round if this trial was the last one of its round."""
        if not self.left and all(known.ended for known in self._records):
            self._add_due()

    def _add_due(self) -> None:
        jobs, most = self._due()
        new = [job for job in jobs if job.id not in self._taken]
        self.left += new
        self._taken |= {job.id for job in new}
        self.total = most + len(self._taken - {job.id for job in jobs})
