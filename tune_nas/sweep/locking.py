"""One driver at a time: whether a name is free, and who has a sweep."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tune_nas.errors import NameTakenError, StorageError
from tune_nas.sweep.cluster import is_local, registered
from tune_nas.sweep.options import RunOptions, storage_option
from tune_nas.sweep.plan import Plan, read_state
from tune_nas.sweep.storage import Storage

_LOCK = ".lock"


def check_free(storage: Storage, name: str, options: RunOptions) -> None:
    """Raise a NameTakenError if a sweep lies in a folder."""
    if set(storage.names()) <= {_LOCK}:
        return
    there = read_state(storage)
    resume = f"tune-nas resume {name}{storage_option(options.storage)}"
    hint = f", or go on with it: {resume}" if there and there.status != "finished" else ""
    root = Storage(options.storage).root
    raise NameTakenError(f"'{name}' exists in {root}; choose another --name{hint}")


@contextmanager
def locked(plan: Plan) -> Iterator[None]:
    """Keep a second driver out of a folder; the lock goes with the process, however that ends."""
    local = plan.storage.local
    if local is None:
        yield
        return
    try:
        local.mkdir(parents=True, exist_ok=True)
        file = (local / _LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"storage {local} cannot be written: {reason}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise NameTakenError(
                f"'{plan.sweep.name}' is running, in process {file.read().strip() or 'unknown'}"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(f"storage {local} cannot be locked: {reason}") from error
        _note_owner(file.fileno(), local)
        yield


def _note_owner(descriptor: int, local: Path) -> None:
    """Write this process's id into the lock's file, past its buffer: closing would try again."""
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"storage {local} cannot be written: {_LOCK}: {reason}") from error


def locked_in_cluster(plan: Plan, address: str | None) -> AbstractContextManager[None]:
    """Keep a second driver of a remote sweep out of the cluster; elsewhere it is not seen."""
    if plan.storage.local is None and not is_local(address):
        return registered(plan.storage.root)
    return nullcontext()
