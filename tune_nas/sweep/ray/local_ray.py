"""Starting a private Ray on this machine, with a second attempt."""

from __future__ import annotations

import logging
import traceback
import warnings

import ray
from ray._private.node import Node

from tune_nas.errors import StorageError

_logger = logging.getLogger(__name__)

_TRIES = 2


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
    for frame, _ in traceback.walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
            return
