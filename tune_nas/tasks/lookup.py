"""Tasks by name."""

from __future__ import annotations

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.tasks.task import Task
from tune_nas.user_code import import_named


def is_own(name: str) -> bool:
    """Return whether a task is not shipped, but the user's own or an installed package's."""
    return not manifest.is_shipped("tasks", name)


def find_task(name: str) -> Task:
    """Return a task by its name, or by ``module:Class``.

    Raises:
        ConfigError: If there is no such task, or importing it fails.
    """
    found = manifest.target("tasks", name) or name
    if not manifest.is_reference(found):
        known = ", ".join(manifest.names("tasks"))
        raise ConfigError(f"task is '{name}', but must be one of {known}, or module:Class")
    kind = import_named("task", found)
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise ConfigError(f"task is '{name}', but must be a class derived from tune_nas.tasks.Task")
    return kind()
