"""The courses of jobs, and the epochs after which a scheduler may stop one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import replace

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.sharing.common_epochs import Course
from tune_nas.tasks import Task, find_task


def course_of(job: Job, task: Task | None = None) -> Course:
    """Return the course of a job; empty if it shares nothing.

    Jobs with other inputs or another runtime, with which results are equal up to rounding only,
    have no epoch in common. A class of tasks must itself define the courses of its trials.

    Args:
        job: The job.
        task: Its task; None for the task that it names.
    """
    its = task or find_task(job.task)
    # A class of the user's own that builds on a shipped task may do something else.
    own = its.course(job.trial) if "course" in vars(type(its)) else ()
    if not own:
        return ()
    given = replace(job.inputs, parent=None, parent_run=None).to_dict()
    content = json.dumps([job.task, given, job.trial.runtime.to_dict()], sort_keys=True)
    mark = hashlib.sha256(content.encode()).hexdigest()[:16]
    return [f"{mark} {text}" for text in own[: job.epochs]]


def asha_stops(sweep: SweepConfig, jobs: Iterable[Job]) -> list[int]:
    """Return the epochs after which the scheduler of a sweep may stop a trial."""
    if sweep.scheduler != "asha":
        return []
    longest = max((job.epochs for job in jobs), default=0)
    stops, rung = list[int](), float(sweep.asha.grace_period)
    while math.ceil(rung) < longest:
        stops.append(math.ceil(rung))
        rung *= sweep.asha.reduction_factor
    return stops
