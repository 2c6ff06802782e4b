"""Correcting an MLflow sqlite store whose folder was moved or copied.

MLflow stores the location of a run's files as an absolute URI. After a move it would read from
the old folder, and create it again to write new files there.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tune_nas.paths import ARTIFACTS

_SECONDS = 10.0  # timeout for another process that writes
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def beside(store: Path) -> str:
    """Return the URI of the folder with the files of a sqlite store."""
    return (store.resolve().parent / ARTIFACTS).as_uri()


def correct_locations(store: Path) -> int:
    """Point the experiments, runs and models of a store to the files beside it.

    A location is corrected if it ends in ``mlartifacts``, like those that this package writes, and
    either the store has such a folder beside it or the old one is gone. Any other location was
    chosen by a user and is kept.

    Args:
        store: The sqlite file.

    Returns:
        Number of corrected experiments, runs and models.

    Raises:
        sqlite3.Error: If the file cannot be read or written.
    """
    if not store.is_file():
        return 0
    new = beside(store)
    with closing(sqlite3.connect(store, timeout=_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if not {table for table, _ in _COLUMNS} <= tables:
            return 0
        query = "SELECT DISTINCT artifact_location FROM experiments"
        old = [location for (location,) in connection.execute(query) if _moved(location, store)]
        changed = 0
        with connection:
            for location in old:
                for table, column in _COLUMNS:
                    # the old folder, or below it
                    changed += connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (new, len(location) + 1, location, len(location) + 1, f"{location}/"),
                    ).rowcount
        return changed


def _moved(location: str | None, store: Path) -> bool:
    """Return whether a location is that of this store's files before it was moved."""
    if not location or not location.startswith(("file://", "/")):
        return False
    folder = Path(unquote(urlsplit(location).path))
    here = store.resolve().parent / ARTIFACTS
    if folder.name != ARTIFACTS or folder == here or folder.resolve() == here:
        return False
    return here.is_dir() or not folder.exists()
