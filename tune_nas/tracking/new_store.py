"""Creating a new sqlite store of MLflow quickly: a copy of an empty one that MLflow has made.

MLflow creates a store by applying all of its migrations since the first version, one transaction
after another, which takes seconds. An empty store of the installed version is therefore kept in
the user's cache folder, and later stores start as copies of it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tune_nas.files import write_atomically


def copy_empty_store(path: Path) -> bool:
    """Create a store as a copy of the empty one in the cache; return whether there was one.

    Args:
        path: The new sqlite file; nothing is done if it has content.
    """
    cached = _cached()
    if cached is None or (path.exists() and path.stat().st_size > 0):
        return False
    try:
        write_atomically(path, cached.read_bytes())
    except OSError:  # MLflow then creates the store, or says why not
        return False
    return True


def keep_empty_store(path: Path) -> None:
    """Copy a store that MLflow has just created into the cache, without its experiments.

    MLflow adds its default experiment again, whose files are then where the new store has them. If
    the cache cannot be written, nothing is kept.

    Args:
        path: The sqlite file, in which nothing has been tracked.
    """
    cached = _cached()
    if cached is None or cached.exists():
        return
    temporary = cached.with_name(f".{cached.name}.{os.getpid()}")
    with suppress(OSError, sqlite3.Error):
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                closing(sqlite3.connect(path)) as source,
                closing(sqlite3.connect(temporary)) as copy,
            ):
                source.backup(copy)
                copy.execute("DELETE FROM experiments")
                copy.commit()
                copy.execute("VACUUM")
            temporary.replace(cached)
        finally:
            temporary.unlink(missing_ok=True)


def _cached() -> Path | None:
    """Return the file of the empty store of the installed MLflow; None if that is unknown."""
    try:
        installed = version("mlflow")
    except PackageNotFoundError:
        return None
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "tune-nas" / f"mlflow-{installed}.db"
