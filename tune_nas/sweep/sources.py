"""Sources of a phase's jobs; this one knows them in advance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records


class Source(Protocol):
    """Provides jobs, and is notified when each of them ends."""

    @property
    def total(self) -> int:
        """Total number of jobs; the most that there may be if `waits`."""

    @property
    def waits(self) -> bool:
        """Whether `next` may return None while trials run, and a job after one of them ended."""

    def next(self) -> Job | None:
        """Return the next job, or None if none is left, or none until a running trial ends."""

    def tell(self, record: Record) -> None:
        """Take note of a trial that has ended."""


class ListSource:
    """Jobs that are known in advance: a grid, repeats, retraining runs.

    Args:
        jobs: All jobs of the phase, including those with a record.
        records: Records of an earlier session: jobs that ended are left out. A job that was
            started but is not listed anymore, since another is now better, is run to its end.

    Attributes:
        left: Jobs still to be run.
    """

    waits = False

    def __init__(self, jobs: Sequence[Job], records: Records) -> None:
        known = {record.job.id: record for record in records}
        every = {job.id: job for job in jobs} | {name: known[name].job for name in known}
        self.left = [
            job for name, job in every.items() if name not in known or not known[name].ended
        ]
        self.total = len(every)

    def next(self) -> Job | None:
        """Return the next job, or None if none is left."""
        return self.left.pop(0) if self.left else None

    def tell(self, record: Record) -> None:
        """Do nothing: no later job depends on it."""
