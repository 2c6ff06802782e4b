"""Tasks by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.tasks.task import Task
from tune_nas.user_code import load_class

if TYPE_CHECKING:
    from tune_nas.config import TrialConfig

SEARCH, CANDIDATES = "search", "candidates"
"""The tasks of searches: differentiable, and black-box."""


def task_of(name: str, trial: TrialConfig) -> str:
    """Return the name of a trial's task: ``search`` is a black-box search if it has a strategy."""
    return CANDIDATES if name == SEARCH and trial.strategy is not None else name


def is_own(name: str) -> bool:
    """Return whether a task is not shipped, but the user's own or an installed package's."""
    return not manifest.is_shipped("tasks", name)


def check_task(name: str) -> None:
    """Check a task's name, without importing the task.

    Raises:
        ConfigError: If no task has this name.
    """
    if not (manifest.is_known("tasks", name) or manifest.is_reference(name)):
        known = ", ".join(manifest.names("tasks"))
        raise ConfigError(f"task is '{name}', but must be one of {known}, or module:Class")


def find_task(name: str) -> Task:
    """Return a task by its name, or by ``module:Class``.

    Raises:
        ConfigError: If no task has this name, or importing it fails.
    """
    check_task(name)
    kind: type[Task] = load_class("task", name, Task, "tune_nas.tasks.Task")
    return kind()
