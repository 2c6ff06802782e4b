"""Sources of a phase's jobs; this one knows them in advance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sharing.sharing import Sharing


class Source(Protocol):
    """Provides jobs, and is notified when each of them ends."""

    @property
    def total(self) -> int:
        """Total number of jobs; the most that there may be if `is_bound`."""

    @property
    def is_bound(self) -> bool:
        """Whether results decide how many jobs there are, so that `total` may fall."""

    @property
    def waits(self) -> bool:
        """Whether `next` may return None while trials run, and a job after one got further."""

    @property
    def sharing(self) -> Sharing | None:
        """What the jobs take over from each other; None for nothing."""

    def next(self) -> Job | None:
        """Return the next job; None if none is left, or none until a running trial gets further."""

    def tell(self, record: Record) -> None:
        """Take note of a trial that has ended."""


class ListSource:
    """Jobs that are known in advance: a grid, repeats, retraining runs.

    Args:
        jobs: All jobs of the phase, including those with a record.
        records: Records of an earlier session: jobs that ended are left out. A job that was
            started but is not listed anymore, since another is now better, is run to its end.

    Attributes:
        jobs: All jobs, in order.
        left: Jobs still to be run.
    """

    waits = is_bound = False
    sharing = None

    def __init__(self, jobs: Sequence[Job], records: Records) -> None:
        known = {record.job.id: record for record in records}
        every = {job.id: job for job in jobs} | {name: known[name].job for name in known}
        self.left = [
            job for name, job in every.items() if name not in known or not known[name].ended
        ]
        self.jobs = list(every.values())
        self.total = len(every)

    def next(self) -> Job | None:
        """Return the next job, or None if none is left."""
        return self.left.pop(0) if self.left else None

    def tell(self, record: Record) -> None:
        """Do nothing: no later job depends on it."""
