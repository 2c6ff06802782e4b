"""Tasks: the work of a sweep's trials. No module here imports torch before `Task.build`."""

from tune_nas.tasks.analysis_task import AnalysisTask
from tune_nas.tasks.lookup import find_task, is_own
from tune_nas.tasks.retrain import RetrainTask
from tune_nas.tasks.search import SearchTask
from tune_nas.tasks.task import Inputs, Task

__all__ = ["AnalysisTask", "Inputs", "RetrainTask", "SearchTask", "Task", "find_task", "is_own"]
