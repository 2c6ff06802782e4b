"""Which MLflow store a sweep's runs are in."""

from __future__ import annotations

from tune_nas.errors import StorageError
from tune_nas.paths import DATABASE
from tune_nas.sweep.storage import Storage
from tune_nas.tracking.store import sqlite_path, sqlite_uri


def store_uri(recorded: str, root: Storage) -> str:
    """Return the store that a sweep was given, else the one in its storage.

    Args:
        recorded: What the sweep's state has; empty for the storage's own.
        root: The storage.

    Raises:
        StorageError: If the storage is remote and no store was given.
    """
    if recorded:
        return recorded
    if root.local is None:
        raise StorageError(
            f"storage {root.root} is remote, where no sqlite file can be; give an MLflow server: "
            "--mlflow http://HOST:PORT"
        )
    return sqlite_uri(root.local / DATABASE)


def unless_moved(recorded: str, root: Storage) -> str:
    """Return a recorded store; nothing, for the storage's own, if that was moved with its storage.

    Older versions recorded the path of the storage's own store too.
    """
    path = sqlite_path(recorded)
    gone = path is not None and path.name == DATABASE and not path.exists()
    return "" if gone and root.local is not None and (root.local / DATABASE).exists() else recorded
