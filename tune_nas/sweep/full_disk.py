"""Reports a full disk in one line that names the file or store."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from tune_nas.errors import StorageError, TuneNasError
from tune_nas.tracking.store import without_password

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
# The messages of operating systems, pyarrow and sqlite; libraries often keep only the text.
_WORDS = ("no space left on device", "disk quota exceeded", "database or disk is full")


@contextmanager
def told_by_name(storage: str, mlflow: str) -> Iterator[None]:
    """Turn an error caused by a full disk into one line, within the block.

    Args:
        storage: Root of the sweep's storage.
        mlflow: URI of its MLflow store.

    Raises:
        StorageError: If a disk is full; names the file if the error does, otherwise the store.
    """
    try:
        yield
    except TuneNasError:
        raise
    except Exception as error:
        chain = list(_chain(error))
        full = next((each for each in chain if _is_of_a_full_disk(each)), None)
        if full is None:
            raise
        where = f"storage {storage}"
        if any(type(each).__module__.startswith("mlflow") for each in chain):
            where = f"MLflow store {without_password(mlflow)}"
        filename = getattr(full, "filename", None)
        file = f"{filename}: " if filename else ""
        raise StorageError(f"{where} cannot be written: {file}{_reason(full)}") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_of_a_full_disk(error: BaseException) -> bool:
    known = isinstance(error, OSError) and error.errno in _NUMBERS
    return known or any(words in str(error).lower() for words in _WORDS)


def _reason(error: BaseException) -> str:
    """Return the shortest text that reports the full disk."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, sqlite3.Error):
        return str(error)
    return next(words for words in _WORDS if words in str(error).lower())
