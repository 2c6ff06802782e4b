"""The trials of a phase that are the same so far: who waits for whom, and starts from where."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from tune_nas.config import TrialConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sharing.branch import Branch, is_of_other_run
from tune_nas.sweep.sharing.common_epochs import CommonEpochs
from tune_nas.sweep.sharing.courses import course_of
from tune_nas.tasks import Task, find_task

_MOST_BRANCHES = 4  # checkpoints of further trials would only serve if all of these are damaged


class Sharing:
    """What the trials of a phase take over from each other.

    A trial that runs epochs which later trials share keeps its checkpoint of the last of them; the
    others wait until it is there, and start from it. Nothing else of this is stored: it follows
    from the jobs and the records, so that a sweep that is killed, resumed or extended shares as
    before. If the checkpoint is gone, a trial runs all epochs, with the same results.

    Args:
        jobs: The jobs of the phase, in the order in which they run.
        records: Records of the phase.
        task: Task of the jobs; None for the task that they name.
        stops: The epochs after which a scheduler may stop a trial.

    Attributes:
        courses: The courses of the jobs by id.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        records: Records,
        task: Task | None = None,
        stops: Sequence[int] = (),
    ) -> None:
        self._jobs = {job.id: job for job in jobs}
        self._records, self._task, self.stops = records, task, list(stops)
        self.courses = {name: course_of(job, task) for name, job in self._jobs.items()}
        self._common = CommonEpochs(self.courses)

    @property
    def any(self) -> bool:
        """Whether any two trials have an epoch in common."""
        return self._common.any

    def waits(self, job: Job, running: Collection[str]) -> bool:
        """Return whether a running trial has yet to run epochs that a job can take over."""
        return any(self._epoch(name) < self._common.of(name, job.id) for name in running)

    def branches(self, job: Job) -> list[Branch]:
        """Return the trials from which a job can start, those with most of its epochs first."""
        found: list[tuple[int, Branch]] = []
        for name in self._common.relatives(job.id):
            record, ready = self._records.get(name), self._ready(name, job.id)
            if record is not None and ready:
                own = Branch(
                    trial=name,
                    epochs=self._common.of(name, job.id),
                    folders=list(record.folders),
                    made_with=record.made_with,
                )
                found.append((ready, own))
        found.sort(key=lambda each: -each[0])
        return [branch for _, branch in found[:_MOST_BRANCHES]]

    def kept(self, job: Job) -> list[int]:
        """Return the epochs after which a job keeps a checkpoint for trials that are yet to run.

        Whatever the job shares with a trial, it shares up to there with any third one that does: so
        it keeps none of the epochs that it can take over from others itself.
        """
        relatives = self._common.relatives(job.id)
        known = max((self._ready(name, job.id) for name in relatives), default=0)
        epochs: set[int] = set()
        for name in relatives:
            record = self._records.get(name)
            if record is None or not record.ended:
                common = self._common.of(job.id, name)
                epochs |= {common, *(stop for stop in self.stops if stop < common)}
        # its last checkpoint stays in any case
        return sorted(epoch for epoch in epochs if known < epoch < job.epochs)

    def watched(self, job: Job) -> list[TrialConfig]:
        """Return the trials that are to start from a job's checkpoints and that it watches for.

        Of those that select in one way, it is the first.
        """
        found: dict[str, TrialConfig] = {}
        for name in self._common.relatives(job.id):
            record = self._records.get(name)
            if name in self._to_be_watched and (record is None or not record.ended):
                trial = self._jobs[name].trial
                found.setdefault(repr(trial.selection), trial)
        return list(found.values())

    def left(self, jobs: Iterable[Job]) -> int:
        """Return the number of epochs that are to be run for the jobs without a record."""
        taken = self._common.taken_over
        new = [job for job in jobs if self._records.get(job.id) is None]
        return sum(max(job.epochs - max(job.starts_after, taken[job.id]), 0) for job in new)

    @cached_property
    def _to_be_watched(self) -> set[str]:
        """The ids of the jobs that can only start from a trial that watched for them."""
        return {
            name
            for name, job in self._jobs.items()
            if self._common.relatives(name)
            and (self._task or find_task(job.task)).must_be_watched(job.trial)
        }

    def _ready(self, name: str, other: str) -> int:
        """Return how many epochs of one trial another one can take over.

        A trial of another run that was taken over whole has kept nothing for trials of this one.
        """
        record, common = self._records.get(name), self._common.of(name, other)
        if record is None or (is_of_other_run(record.taken_from) and common < record.taken):
            return 0
        return min(record.epoch, common)

    def _epoch(self, name: str) -> int:
        record = self._records.get(name)
        return 0 if record is None else record.epoch
