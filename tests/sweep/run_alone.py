"""The job of a trial, run in this process: its results must be those of any sweep."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.sweep.runs.record import Record
from tune_nas.tasks import find_task


def run_alone(record: Record) -> tuple[list[Mapping[str, object]], str | None]:
    """Return the metrics of each epoch of a trial's job, and its genotype at the end."""
    learner = find_task(record.job.task).build(record.job.trial, record.job.inputs)
    history = []
    while not learner.done:
        history.append(learner.run_epoch())
    found = learner.result()
    return history, None if found is None else found.to_yaml()
