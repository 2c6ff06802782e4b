"""The records of a phase: the state of each trial, written at every result.

A sweep is resumed from the records alone. They hold every result that the driver has acted on, in
the order in which it acted, so that ASHA's rungs and Optuna's study can be rebuilt from them.
Ray's own experiment state (pickles, written now and then) is never read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tune_nas.learner import ENDED
from tune_nas.status import Status
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.reports_file import MADE_WITH, TAKEN, TAKEN_FROM
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.record_files import RecordFiles
from tune_nas.sweep.runs.storage import Storage


class Records:
    """The records of one phase, kept in step with their files.

    Args:
        storage: Storage of the sweep.
        phase: Name of the phase.

    Raises:
        StorageError: If a record cannot be read; names the file.
    """

    def __init__(self, storage: Storage, phase: str) -> None:
        self.root = storage.root
        self.phase = phase
        self._files = RecordFiles(storage, phase)
        self._records = self._files.read()
        self._order = max((max(r.orders, default=0) for r in self), default=0)

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records by id."""
        return iter([self._records[key] for key in sorted(self._records)])

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, job_id: str) -> Record:
        return self._records[job_id]

    def get(self, job_id: str) -> Record | None:
        """Return the record of a job, or None if it was never started."""
        return self._records.get(job_id)

    def start(self, job: Job) -> Record:
        """Return the record of a job, created if it is new."""
        if job.id not in self._records:
            self._records[job.id] = Record(job.as_stored())
            self.save(self._records[job.id])
        return self._records[job.id]

    def add(self, job_id: str, result: Mapping[str, Any], *, stopped: str = "") -> bool:
        """Record the result of an epoch, unless that epoch is already recorded.

        Args:
            job_id: Id of the job.
            result: Metrics with ``epoch``; ``genotype``, the trial that ran the epoch for this one,
                and the reason for which the trial ended itself are kept separately, other text is
                dropped.
            stopped: Why the scheduler stopped the trial at this result; empty if it did not.
        """
        record = self._records[job_id]
        if record.status is not Status.RUNNING or int(result["epoch"]) <= record.epoch:
            return False
        ran = record.epochs_run
        numbers = {k: v for k, v in result.items() if isinstance(v, int | float)}
        self._order += 1
        record.history.append(numbers)
        record.orders.append(self._order)
        record.times.append(time.time())
        record.genotype = result.get("genotype") or record.genotype
        record.reason = result.get(ENDED, "")
        record.made_with = result.get(MADE_WITH, record.made_with)
        if int(result.get(TAKEN, 0)) > record.taken:
            record.taken, record.taken_from = int(result[TAKEN]), result[TAKEN_FROM]
            record.ran_before = ran
        if stopped:
            record.status, record.reason = Status.STOPPING, stopped
        self.save(record)
        return True

    def end(self, job_id: str, *, error: str | None = None) -> Record:
        """Record that a trial has finished, stopped or, with an error, failed."""
        record = self._records[job_id]
        if error is not None and not record.ended:
            record.status, record.reason, record.error = Status.FAILED, error, error
        elif record.status is Status.STOPPING:
            record.status = Status.STOPPED
        elif record.status is Status.RUNNING:
            record.status = Status.FINISHED
        self.save(record)
        return record

    @contextmanager
    def changing(self, job_id: str) -> Iterator[Record]:
        """Provide the record of a job within the block, and write its file after it."""
        record = self._records[job_id]
        yield record
        self.save(record)

    def in_order(self) -> list[tuple[Record, dict[str, float]]]:
        """Return every result of the phase, in the order in which the driver acted on it."""
        results = [
            (order, record, metrics)
            for record in self
            for order, metrics in zip(record.orders, record.history, strict=True)
        ]
        return [(record, metrics) for _, record, metrics in sorted(results, key=lambda r: r[0])]

    def save(self, record: Record) -> None:
        """Write the file of a record."""
        self._files.write(record)
