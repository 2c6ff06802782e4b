"""The first epochs that two jobs have in common, and those after which a job may be stopped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.jobs import Job
from tune_nas.tasks import Task, find_task


def shared_epochs(first: Job, second: Job, *, task: Task | None = None) -> int:
    """Return the number of first epochs in which two jobs are the same.

    Args:
        first: A job.
        second: Another job.
        task: Their task; None for the task that they name.
    """
    if (first.task, _given(first)) != (second.task, _given(second)):
        return 0
    if first.trial.runtime != second.trial.runtime:  # equal up to rounding only
        return 0
    own = task or find_task(first.task)
    return min(own.shared_epochs(first.trial, second.trial), first.epochs, second.epochs)


def _given(job: Job) -> object:
    """Return the inputs of a job that decide its results."""
    return replace(job.inputs, parent=None, parent_run=None)


def asha_stops(sweep: SweepConfig, jobs: Iterable[Job]) -> list[int]:
    """Return the epochs after which the scheduler of a sweep may stop a trial."""
    if sweep.scheduler != "asha":
        return []
    longest = max((job.epochs for job in jobs), default=0)
    stops, rung = [], float(sweep.asha.grace_period)
    while rung < longest:
        stops.append(math.ceil(rung))
        rung *= sweep.asha.reduction_factor
    return stops
