"""One driver at a time: whether a name is free, and which process holds a sweep."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from tune_nas.errors import NameTakenError, StorageError
from tune_nas.files import make_folder
from tune_nas.sweep.options import RunOptions, storage_option
from tune_nas.sweep.runs.plan import Plan, read_state
from tune_nas.sweep.runs.storage import Storage

_LOCK = ".lock"
_LOOKS, _INSTANT = 3, 0.05  # seconds


def check_free(storage: Storage, name: str, options: RunOptions) -> None:
    """Raise a NameTakenError if a folder contains a sweep."""
    if set(storage.names()) <= {_LOCK}:
        return
    there = read_state(storage)
    resume = f"tune-nas resume {name}{storage_option(options.storage)}"
    hint = f", or resume it: {resume}" if there and there.status != "finished" else ""
    root = Storage(options.storage).root
    raise NameTakenError(f"'{name}' exists in {root}; choose another `name`{hint}")


def locked(plan: Plan) -> AbstractContextManager[None]:
    """Keep a second driver out of a folder; the lock is released however the process ends."""
    return locked_folder(plan.storage, plan.sweep.name)


@contextmanager
def locked_folder(storage: Storage, name: str) -> Iterator[None]:
    """Keep drivers out of the folder of a run within the block; a remote folder has no lock.

    Raises:
        NameTakenError: If a driver holds the lock, or has just removed the folder.
        StorageError: If the folder cannot be written.
    """
    local = storage.local
    if local is None:
        yield
        return
    try:
        make_folder(local)
        file = (local / _LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"storage {local} cannot be written: {reason}") from error
    with file:
        try:
            _take(file)
        except BlockingIOError as error:
            owner = read_owner(local)
            process = owner.process or "unknown"
            if owner.may_be_alive_elsewhere:
                process += f" on {owner.host}"
            message = f"'{name}' is running, in process {process}"
            raise NameTakenError(message) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(f"storage {local} cannot be locked: {reason}") from error
        if not _is_there(file, local / _LOCK):
            message = f"'{name}' was just removed by another driver; start it again"
            raise NameTakenError(message)
        _note_owner(file.fileno(), local)
        yield


def _is_there(file: IO[str], path: Path) -> bool:
    """Return whether an open file still has its path: a rejected sweep removes its folder."""
    try:
        there = path.stat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(file.fileno()), there)


def is_locked(local: Path) -> bool:
    """Return whether a driver holds the lock of a folder; does not create the lock.

    Raises:
        OSError: If the lock cannot be read.
    """
    try:
        with (local / _LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def locked_since(local: Path) -> float | None:
    """Return when the lock of a folder was last taken, in seconds since 1970; None if never."""
    try:
        return (local / _LOCK).stat().st_mtime
    except OSError:
        return None


class Owner(NamedTuple):
    """The process that holds, or last held, a lock; empty if unknown."""

    process: str = ""
    host: str = ""
    boot: str = ""

    @property
    def may_be_alive_elsewhere(self) -> bool:
        """Whether it ran on another machine, whose locks may not be visible in a shared folder."""
        here = _this_process()
        return bool(self.host) and self.host != here.host and self.boot != here.boot


def read_owner(local: Path) -> Owner:
    """Return the owner recorded in a folder's lock."""
    try:
        fields = (local / _LOCK).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return Owner()
    return Owner(*fields[:3])


def _this_process() -> Owner:
    # Containers of a machine have different names, but one kernel, and so share locks.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        boot = "unknown"
    return Owner(str(os.getpid()), socket.gethostname() or "unknown", boot)


def _take(file: IO[str]) -> None:
    """Lock a file; a process that only checks the lock holds it for an instant.

    Raises:
        BlockingIOError: If another process holds it.
    """
    for _ in range(_LOOKS):
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_INSTANT)
    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _note_owner(descriptor: int, local: Path) -> None:
    """Write this process into the lock's file, unbuffered: closing would write again."""
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, " ".join(_this_process()).encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"storage {local} cannot be written: {_LOCK}: {reason}") from error
