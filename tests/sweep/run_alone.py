"""The job of a trial, run in this process: its results must be those of any sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_nas.sweep.runs.record import Record
from tune_nas.tasks import find_task

MEASURED = ("seconds", "memory_mib")
"""The metrics that are measurements of the machine."""


def computed(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of an epoch that do not depend on time and place."""
    return {key: value for key, value in metrics.items() if key not in MEASURED}


def run_alone(record: Record) -> list[dict[str, Any]]:
    """Return what `computed` leaves of each epoch of a trial's job."""
    learner = find_task(record.job.task).build(record.job.trial, record.job.inputs)
    history = []
    while not learner.done:
        history.append(computed(learner.run_epoch()))
    return history
