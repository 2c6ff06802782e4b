"""Starting a private Ray on this machine: the path of its sockets, and a second attempt."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from pathlib import Path

from tune_nas.errors import StorageError

_logger = logging.getLogger(__name__)

_TRIES = 2
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # bytes, of sockaddr_un


def check_temporary_folder() -> None:
    """Check that the paths of Ray's sockets are short enough, before anything is started.

    Raises:
        StorageError: If the folder's path is relative or too long.
    """
    variable = next((name for name in _variables() if name in os.environ), None)
    if variable is None or ("ray" in sys.modules and _is_running()):
        return
    folder = os.environ[variable]
    remedy = "set RAY_TMPDIR to a short absolute path, e.g. RAY_TMPDIR=/tmp"
    if not Path(folder).is_absolute():
        # Ray's processes run in other folders, and would wait half a minute for each other.
        raise StorageError(f"{variable} is '{folder}', but must be absolute for Ray; {remedy}")
    # Ray names the session after the time and this process.
    session = f"session_2026-01-01_00-00-00_000000_{os.getpid()}"
    below = f"/ray/{session}/sockets/plasma_store"
    most = _LONGEST_SOCKET - len(below)
    length = len(os.fsencode(folder.rstrip("/")))
    if length > most:
        raise StorageError(
            f"{variable} is '{folder}', but must have at most {most} bytes (it has {length}), as "
            f"Ray's sockets are below it; {remedy}"
        )


def start() -> None:
    """Start Ray on this machine for this process; try once more if it does not start.

    Ray gives its processes 30 s, which can be too short on a loaded machine.

    Raises:
        StorageError: If the second attempt fails too, or the system reports a cause.
    """
    for left in reversed(range(_TRIES)):
        try:
            _start()
            return
        except Exception as error:  # Ray raises no more specific error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            settled = isinstance(error, OSError) and error.errno is not None  # e.g. a full disk
            if settled or not left:
                message = f"Ray cannot be started on this machine: {reason}"
                raise StorageError(message) from error
            _logger.warning("Ray did not start, and is tried once more: %s", reason)


def _start() -> None:
    import ray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except BaseException as error:
        _end_what_was_started(error)
        ray.shutdown()
        raise


def _end_what_was_started(error: BaseException) -> None:
    """End the processes of a node that did not start; Ray keeps no reference to it.

    They would otherwise last as long as this process, and slow down the second attempt.
    """
    from ray._private.node import Node

    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
            return


def _is_running() -> bool:
    import ray

    return bool(ray.is_initialized())


def _variables() -> tuple[str, ...]:
    """Return the variables that set Ray's temporary folder, in order of precedence."""
    return ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
