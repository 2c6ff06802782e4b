"""Tasks by name."""

from __future__ import annotations

from tune_nas.errors import ConfigError
from tune_nas.tasks.retrain import RetrainTask
from tune_nas.tasks.search import SearchTask
from tune_nas.tasks.task import Task
from tune_nas.user_code import import_named

_SHIPPED: dict[str, type[Task]] = {"search": SearchTask, "retrain": RetrainTask}


def is_own(name: str) -> bool:
    """Return whether a name is that of a task of the user's own, ``module:Class``."""
    return ":" in name


def find_task(name: str) -> Task:
    """Return a task by its name, or by ``module:Class``.

    Raises:
        ConfigError: If there is no such task, or importing it fails.
    """
    if name in _SHIPPED:
        return _SHIPPED[name]()
    if not is_own(name):
        known = ", ".join(_SHIPPED)
        raise ConfigError(f"task is '{name}', but must be one of {known}, or module:Class")
    kind = import_named("task", name)
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise ConfigError(f"task is '{name}', but must be a class derived from tune_nas.tasks.Task")
    return kind()
