"""The MLflow store of a sweep's runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tune_nas.errors import StorageError
from tune_nas.paths import DATABASE, is_file
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking.store import sqlite_path, sqlite_uri
from tune_nas.tracking.tracked_run import IDENTITY


def store_uri(recorded: str, root: Storage) -> str:
    """Return the store that was given for a sweep, else the one in its storage.

    Args:
        recorded: The store in the sweep's state; empty for that of the storage.
        root: The storage.

    Raises:
        StorageError: If the storage is remote and no store was given.
    """
    if recorded:
        return recorded
    if root.local is None:
        raise StorageError(
            f"storage {root.root} is remote, where no sqlite file can be; give an MLflow server: "
            "`mlflow` http://HOST:PORT"
        )
    return sqlite_uri(root.local / DATABASE)


def existing_store(storage: str, mlflow: str | None) -> str | None:
    """Return the MLflow store to look for runs in; None if there is none yet.

    Args:
        storage: Folder or URI in which runs are stored.
        mlflow: URI of the MLflow store; None for that of the storage.
    """
    root = Storage(storage)
    if mlflow is None and root.local is None:
        return None
    uri = store_uri(mlflow or "", root)
    return uri if store_exists(uri) else None


def store_exists(uri: str) -> bool:
    """Return whether an MLflow store can exist: asking for runs must not create one."""
    path = sqlite_path(uri)
    return path is None or is_file(path)


def unless_moved(recorded: str, root: Storage, identity: str) -> str:
    """Return a recorded store; empty, for the storage's own, if that was moved with the storage.

    Earlier versions recorded the path of the storage's own store too. If both exist, e.g. after a
    copy, the storage's own is used if it contains the sweep.

    Args:
        recorded: The store in the sweep's state.
        root: The storage.
        identity: Identity of the sweep.
    """
    path = sqlite_path(recorded)
    if path is None or path.name != DATABASE or root.local is None:
        return recorded
    own = root.local / DATABASE
    return "" if own.exists() and (not path.exists() or _has(own, identity)) else recorded


def _has(store: Path, identity: str) -> bool:
    query = "SELECT 1 FROM tags WHERE key = ? AND value = ?"
    try:
        with closing(sqlite3.connect(store)) as connection:
            return connection.execute(query, (IDENTITY, identity)).fetchone() is not None
    except sqlite3.Error:
        return False
