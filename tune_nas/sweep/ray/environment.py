"""The environment variables and checks that precede the import of Ray; imports no Ray."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tune_nas.errors import StorageError

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
    # By default, the processes of trials have a lower priority (niceness 15), and hardly run beside
    # other programs. Their steps were timed at the priority of the command.
    "RAY_worker_niceness": "0",
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
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # bytes, of sockaddr_un


def is_local(address: str | None) -> bool:
    """Return whether an address means a private Ray on this machine."""
    return address in (None, "", "local")


def check_address(address: str | None) -> None:
    """Fail within seconds if nothing listens at a cluster's address, or Ray cannot start here.

    Raises:
        StorageError: If the address is not valid or cannot be reached, or if Ray's temporary
            folder on this machine cannot be used.
    """
    if is_local(address):
        check_temporary_folder()
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


def check_temporary_folder() -> None:
    """Check that the paths of Ray's sockets are short enough, before anything is started.

    Raises:
        StorageError: If the folder's path is relative or too long.
    """
    variable = next((name for name in _variables() if name in os.environ), None)
    if variable is None or _is_running():
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


def _is_running() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _variables() -> tuple[str, ...]:
    """Return the variables that set Ray's temporary folder, in order of precedence."""
    return ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
