"""What the searches of a sweep that has not started would share."""

from __future__ import annotations

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.phases import search_jobs
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.resolve import resolve_points
from tune_nas.sweep.sharing.common_epochs import CommonEpochs
from tune_nas.sweep.sharing.courses import course_of


def taken_over(sweep: SweepConfig, bases: BaseTrials) -> list[int]:
    """Return the number of first epochs of each search of a grid that searches before it run.

    Sampled searches share nothing, since they are not known in advance.
    """
    trials = resolve_points(sweep, bases).trials
    if not sweep.share or sweep.searcher != "grid":
        return [0] * len(trials)
    jobs = search_jobs(trials, bases.folder, sweep.task)
    return list(CommonEpochs({job.id: course_of(job) for job in jobs}).taken_over.values())
