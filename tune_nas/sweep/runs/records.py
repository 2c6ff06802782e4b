"""The state of each trial of a phase: one JSON file per trial, written at every result.

A sweep is resumed from the records alone. They hold every result that the driver has acted on, in
the order in which it acted, so that ASHA's rungs and Optuna's study can be rebuilt from them.
Ray's own experiment state (pickles, written now and then) is never read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_nas.errors import ConfigError, StorageError
from tune_nas.learner import ENDED
from tune_nas.report import TrialResult
from tune_nas.status import Status
from tune_nas.sweep.jobs import Job, StoredJob
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.stored import read_stored
from tune_nas.text import shown

FOLDER = "records"


@dataclass
class Record:
    """A job and its results so far.

    Args:
        status: Status of the trial.
        orders: For each epoch of the history, its position among all results of the phase.
        folders: The trial's folders, one per session of the sweep, oldest first. The file contains
            only their names, so that the storage can be moved.
        tracked: Whether MLflow has its end.
        times: When each epoch of the history was recorded, in seconds since 1970; missing in
            records of earlier versions.
        failures: Number of times that it failed and was retried.
        last_error: The last such failure, in one line.
        lasting: Whether a retry would fail in the same way.
    """

    job: Job
    status: Status = Status.RUNNING
    reason: str = ""
    error: str | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    genotype: str | None = None
    folders: list[str] = field(default_factory=list)
    tracked: bool = False
    times: list[float] = field(default_factory=list)
    failures: int = 0
    last_error: str = ""
    lasting: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing is left to run."""
        return self.status.ended

    @property
    def closed(self) -> bool:
        """Whether it has ended and its end is recorded."""
        return self.status.closed

    @property
    def epoch(self) -> int:
        """The last epoch that was recorded; 0 for none."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def epochs_left(self) -> int:
        """Maximum number of epochs that it still has to run."""
        return 0 if self.ended else self.job.epochs - max(self.epoch, self.job.starts_after)

    def value(self, metric: str) -> float | None:
        """Return a metric of the last epoch, or None."""
        return self.history[-1].get(metric) if self.history else None

    def result(self) -> TrialResult:
        """Return the trial's entry in the report and in ``results.json``."""
        unclosed = {Status.RUNNING: Status.FAILED, Status.STOPPING: Status.STOPPED}
        status = unclosed.get(self.status, self.status)
        return TrialResult(
            trial_id=self.job.id,
            phase=self.job.phase,
            parameters=dict(self.job.parameters),
            seed=self.job.seed,
            status=status,
            reason=self.reason,
            metrics=dict(self.history[-1]) if self.history else {},
            history=list(self.history),
            genotype=self.genotype,
            error=self.error,
            parent=self.job.inputs.parent,
        )


class Records:
    """The records of one phase, kept in step with their files.

    Args:
        storage: Storage of the sweep.
        phase: Name of the phase, which is the folder.

    Raises:
        StorageError: If a record cannot be read; names the file.
    """

    def __init__(self, storage: Storage, phase: str) -> None:
        self._storage = storage
        self.root = storage.root
        self.phase = phase
        self._records: dict[str, Record] = {}
        for name in storage.names(f"{phase}/{FOLDER}"):
            if name.endswith(".json") and not name.startswith("."):
                record = self._load(f"{phase}/{FOLDER}/{name}")
                self._records[record.job.id] = record
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
            result: Metrics with ``epoch``; ``genotype`` and the reason for which the trial ended
                itself are kept separately, other text is dropped.
            stopped: Why the scheduler stopped the trial at this result; empty if it did not.
        """
        record = self._records[job_id]
        if record.status is not Status.RUNNING or int(result["epoch"]) <= record.epoch:
            return False
        numbers = {k: v for k, v in result.items() if isinstance(v, int | float)}
        self._order += 1
        record.history.append(numbers)
        record.orders.append(self._order)
        record.times.append(time.time())
        record.genotype = result.get("genotype") or record.genotype
        record.reason = result.get(ENDED, "")
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

    def explain(self, job_id: str, error: str, *, lasting: bool = False) -> None:
        """Record why a trial failed, once that is known."""
        record = self._records[job_id]
        record.error = record.reason = error
        record.lasting = lasting
        self.save(record)

    def retried(self, job_id: str, failures: int, error: str) -> None:
        """Record that a trial failed and is retried."""
        record = self._records[job_id]
        record.failures, record.last_error = failures, error
        self.save(record)

    def reopen(self, job_id: str) -> None:
        """Let a failed trial continue from its newest checkpoint."""
        record = self._records[job_id]
        record.status, record.reason, record.error = Status.RUNNING, "", None
        record.tracked = False
        self.save(record)

    def track(self, job_id: str, tracked: bool) -> None:
        """Record whether MLflow has the trial's end."""
        self._records[job_id].tracked = tracked
        self.save(self._records[job_id])

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
        path = f"{self.phase}/{FOLDER}/{record.job.id}.json"
        names = [folder.rpartition("/")[2] for folder in record.folders]
        content = {**vars(record), "job": record.job.to_dict(), "folders": names}
        self._storage.write(path, json.dumps(content, ensure_ascii=False))

    def _load(self, name: str) -> Record:
        try:
            content = read_stored(_StoredRecord, self._storage.read(name) or "")
            content["job"] = Job.from_dict(content["job"], where="job.trial")
            record = Record(**{**content, "status": _status(content)})
            _check_record(record, self.phase, name)
            # earlier versions wrote absolute paths, which a move of the storage made wrong
            names = [folder.rpartition("/")[2] for folder in record.folders]
            record.folders = [f"{self._storage.root}/{self.phase}/{own}" for own in names]
            return record
        except (ConfigError, ValueError, TypeError) as error:
            raise StorageError(
                f"{self._storage.root}/{name} is damaged: not the record of a trial ({error}); "
                "remove it to run that trial again"
            ) from error


@dataclass
class _StoredRecord(Record):
    """The types of a record's entries in its JSON file."""

    job: StoredJob  # type: ignore[assignment]
    status: str = Status.RUNNING  # type: ignore[assignment]


def _status(content: Mapping[str, Any]) -> Status:
    try:
        return Status(content.get("status", Status.RUNNING))
    except ValueError as error:
        raise ValueError(f"status is {shown(content['status'])}") from error


def _check_record(record: Record, phase: str, name: str) -> None:
    """Raise a ValueError if the values of a record do not go together, or with its file."""
    job = record.job
    if job.phase != phase or not name.endswith(f"/{job.id}.json"):
        raise ValueError(f"it is that of {shown(job.id)} in phase {shown(job.phase)}")
    if len(record.orders) != len(record.history):
        raise ValueError(f"{len(record.history)} epochs have {len(record.orders)} orders")
    if any("epoch" not in metrics for metrics in record.history):
        raise ValueError("a result has no epoch")
