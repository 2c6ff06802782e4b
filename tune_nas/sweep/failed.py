"""Retrying failed trials of a sweep, and continuing trials that the user stopped."""

from __future__ import annotations

from tune_nas.errors import StorageError
from tune_nas.report.results import PHASES
from tune_nas.status import Status
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.record_files import FOLDER
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stop_requests import BY_USER
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import plural


def has_failed(storage: Storage) -> bool:
    """Return whether a run has a failed trial."""
    return any(
        record.status is Status.FAILED for phase in PHASES for record in Records(storage, phase)
    )


def options_to_continue(storage: Storage) -> str:
    """Return which options of resume continue trials of a finished run; empty if none does."""
    records = [record for phase in PHASES for record in Records(storage, phase)]
    words = []
    if any(record.status is Status.FAILED and not record.lasting for record in records):
        words.append("`failed` tries failed trials again")
    if any(_is_stopped(record) for record in records):
        words.append("`stopped` continues trials that were stopped")
    return "".join(f"; {option}" for option in words)


def reopen_failed(plan: Plan) -> None:
    """Let the failed trials of a sweep continue, except those that would fail in the same way.

    A trial whose loss diverges, or that reads a damaged image, fails again: it is run again only if
    its record is removed.

    Raises:
        StorageError: If no trial can be retried.
    """
    name, n_lasting, lasting = plan.sweep.name, 0, ""
    reopened = False
    for phase in PHASES:
        records = Records(plan.storage, phase)
        for record in records:
            if record.status is not Status.FAILED:
                continue
            if record.lasting:
                n_lasting += 1
                file = f"{phase}/{FOLDER}/{record.job.id}.json"
                lasting = f"{record.error}; to run it again, remove {plan.storage.root}/{file}"
            else:
                with records.changing(record.job.id):
                    record.reopen()
                reopened = True
    if not reopened and n_lasting:
        failed = plural(n_lasting, "failed trial")
        raise StorageError(f"'{name}' has {failed}, which would fail in the same way: {lasting}")
    if not reopened:
        raise StorageError(f"'{name}' has no failed trial; there is nothing to try again")
    plan.write_state(status="running")


def reopen_stopped(plan: Plan) -> None:
    """Let the trials of a sweep that the user stopped continue from their newest checkpoint.

    Raises:
        StorageError: If there are none.
    """
    reopened = False
    for phase in PHASES:
        records = Records(plan.storage, phase)
        for record in records:
            if _is_stopped(record):
                with records.changing(record.job.id):
                    record.reopen()
                reopened = True
    if not reopened:
        raise StorageError(f"'{plan.sweep.name}' has no trial that was stopped by {BY_USER}")
    plan.write_state(status="running")


def _is_stopped(record: Record) -> bool:
    return record.status is Status.STOPPED and record.stopped_by_user
