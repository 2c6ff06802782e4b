"""Tasks: the work of a sweep's trials.

Importing this package imports no torch: shipped tasks are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily
from tune_nas.tasks.task import Inputs, Task, Tasks, with_workers
from tune_nas.tasks.task_lookup import check_task, find_task, is_own, task_of

if TYPE_CHECKING:
    from tune_nas.tasks.analysis_task import AnalysisTask
    from tune_nas.tasks.candidates_task import CandidatesTask
    from tune_nas.tasks.retrain_task import RetrainTask
    from tune_nas.tasks.search_task import SearchTask
else:
    __getattr__ = lazily(
        __name__,
        {
            "AnalysisTask": "tune_nas.tasks.analysis_task",
            "CandidatesTask": "tune_nas.tasks.candidates_task",
            "RetrainTask": "tune_nas.tasks.retrain_task",
            "SearchTask": "tune_nas.tasks.search_task",
        },
    )

__all__ = [
    "AnalysisTask",
    "CandidatesTask",
    "Inputs",
    "RetrainTask",
    "SearchTask",
    "Task",
    "Tasks",
    "check_task",
    "find_task",
    "is_own",
    "task_of",
    "with_workers",
]
