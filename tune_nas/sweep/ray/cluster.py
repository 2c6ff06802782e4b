"""Ray: private and quiet on one machine, or a given cluster."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

from tune_nas.errors import StorageError
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.ray import local_ray, room

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # Ray's own experiment state is never read; write it rarely.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Our records hold the results; Ray's loggers would write them three more times.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C reaches us as KeyboardInterrupt.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A metric may be missing in some epochs; the recorder refuses one that no search reports.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server's client would print the address of every run, even into JSON output.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_LOCAL = {
    # Ray then binds to 127.0.0.1 only: a sweep on one machine opens no port to the network.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
_CLUSTER = {
    # If something other than Ray listens at the address, Ray would report it only after a quarter
    # of an hour; twice 40 seconds are enough.
    "RAY_NUM_REDIS_GET_RETRIES": "2",
}
# The default anyway; setting it stops a warning. Ray reads it once, on import: if it were set
# later, it would differ between this process and the servers that it starts.
_BEFORE_IMPORT = {"RAY_AUTH_MODE": "token"}
_WAIT_SECONDS = 5.0
_DRIVERS = "tune-nas"  # Ray's namespace of the sweeps that have a driver
_LEAVING_SECONDS = 10.0  # until the cluster notices that a driver was killed


def check_address(address: str | None) -> None:
    """Fail within seconds if nothing listens at a cluster's address, or Ray cannot start here.

    Raises:
        StorageError: If the address is not valid or cannot be reached, or if Ray's temporary
            folder on this machine cannot be used.
    """
    if is_local(address):
        local_ray.check_temporary_folder()
        return
    if address == "auto":
        return
    host, colon, port = str(address).removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        raise StorageError(f"Ray address '{address}' is not valid; write HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), timeout=_WAIT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"Ray cluster {address} cannot be reached: {reason}") from error


def prepare_environment(address: str | None) -> None:
    """Set the environment that Ray reads on import; values set by the user are kept."""
    early = {} if "ray" in sys.modules else _BEFORE_IMPORT
    where = _LOCAL if is_local(address) else _CLUSTER
    for name, value in {**_ENVIRONMENT, **early, **where}.items():
        os.environ.setdefault(name, value)


@contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Run a private Ray on this machine, or use a cluster, within the block.

    A Ray that this process has already started is used as it is, and left running.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto``, or None for this machine alone.

    Raises:
        StorageError: If Ray cannot be started, or the cluster cannot be reached.
    """
    local = is_local(address)
    prepare_environment(address)
    import ray

    if ray.is_initialized():
        yield
        return
    check_address(address)
    if local:
        local_ray.start()
    else:
        _join(str(address))
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    import ray

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises no more specific error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StorageError(f"Ray cluster {address} cannot be used: {reason}") from error


@contextmanager
def registered(sweep: str) -> Iterator[None]:
    """Keep a second driver of a sweep out of the cluster within the block.

    An actor, whose name is unique, registers the sweep. It ends with the driver, however that ends,
    and moves to another node if its node is lost.

    Args:
        sweep: The URI of its folder.

    Raises:
        StorageError: If the sweep already has another driver.
    """
    import ray
    from ray.exceptions import ActorAlreadyExistsError

    place = ray.remote(num_cpus=0, max_restarts=-1)(_Place).options(name=sweep, namespace=_DRIVERS)
    deadline = time.monotonic() + _LEAVING_SECONDS
    while True:
        try:
            actor = place.remote()
            break
        except ActorAlreadyExistsError as error:
            if time.monotonic() > deadline:
                message = f"{sweep} is running, by another driver of the cluster"
                raise StorageError(message) from error
            time.sleep(0.5)
    try:
        yield
    finally:
        ray.kill(actor)


class _Place:
    """Holds a name, and does nothing."""


def trials_at_once(options: RunOptions) -> int:
    """Return the maximum number of concurrent trials: as requested, else as many as fit.

    On one machine the number is limited to those that fit: Optuna would otherwise sample trials
    that only wait. A cluster may grow.

    Raises:
        ConfigError: If not even one trial fits.
    """
    nodes = _nodes()
    room.check_room(nodes, options)
    fitting = room.trials_at_once(nodes, options)
    if options.concurrency is None:
        return fitting
    grows = not is_local(options.address) and not options.shares_processes
    return options.concurrency if grows else min(options.concurrency, fitting)


def searches_per_process(options: RunOptions) -> int:
    """Return the number of searches per process: as requested, if they fit on one node."""
    return room.searches_per_process(_nodes(), options)


def _nodes() -> list[room.Node]:
    """Return the live nodes of the cluster."""
    import ray

    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [room.Node(float(r.get("CPU", 0)), float(r.get("GPU", 0))) for r in resources]


@contextmanager
def hidden_warnings(path: Path) -> Iterator[None]:
    """Redirect the logs, warnings and output of libraries from the terminal to a file.

    Ray prints the death of a node to stdout, which is reserved for JSON.
    """
    handler = _QuietHandler(path, encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, ray_logger = logging.getLogger(), logging.getLogger("ray")
    kept = list(ray_logger.handlers)
    ray_logger.handlers = [handler]
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        with redirect_stdout(_Printed()):
            yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        ray_logger.handlers = kept
        handler.close()


class _QuietHandler(logging.FileHandler):
    """Ignores a full disk, also on closing: it would hide the error that is reported."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if the file can be opened."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Ignore the error."""

    def close(self) -> None:
        """Close the file; unwritten content is lost."""
        with suppress(OSError):
            super().close()


class _Printed(io.TextIOBase):
    """Logs printed text line by line."""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                logging.getLogger("stdout").warning("%s", line)
        return len(text)


def is_local(address: str | None) -> bool:
    """Return whether an address means a private Ray on this machine."""
    return address in (None, "", "local")
