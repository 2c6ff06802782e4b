"""Reads the details of a stored run that a report page shows beside its results."""

from __future__ import annotations

from collections.abc import Sequence

from tune_nas.paths import SWEEP
from tune_nas.report.run_details import RunDetails, TrialDetails
from tune_nas.sweep.runs.checkpoints import newest_artifacts
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.provenance import read_sessions
from tune_nas.sweep.runs.record import Record

_ALPHAS = "alphas.csv"


def details_of(plan: Plan, records: Sequence[Record]) -> RunDetails:
    """Return the details of a run, finished or not.

    Args:
        plan: The run.
        records: Its trials.

    Raises:
        StorageError: If its storage cannot be read.
    """
    folders = {record.job.id: record.folders for record in records}

    def read_alphas(trial_id: str) -> bytes | None:
        return newest_artifacts(folders.get(trial_id, [])).get(_ALPHAS)

    name = plan.sweep.name
    return RunDetails(
        trials=tuple(_trial(record) for record in records),
        sessions={name: read_sessions(plan.storage)},
        files={name: plan.storage.read(SWEEP) or ""},
        read_alphas=read_alphas,
    )


def _trial(record: Record) -> TrialDetails:
    return TrialDetails(
        result=record.result(),
        status=str(record.status),
        epochs=record.job.epochs,
        retries=record.failures,
        last_error=record.last_error,
        sessions=max(len(record.folders), 1),
        space=record.job.trial.space.name,
        taken=record.taken - record.ran_before,
        taken_from=record.taken_from,
    )
