"""Reaching an MLflow store: quietly, without telemetry, and with one-line errors within seconds."""

from __future__ import annotations

import fcntl
import http.client
import logging
import os
import socket
import sqlite3
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tune_nas.errors import StorageError
from tune_nas.text import brief, printable
from tune_nas.tracking.moved import beside, correct_locations

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Whatever MLflow logs as an error it also raises, and we turn that into one line.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # By default a lost server is tried for four minutes, while the sweep waits. And a request that
    # creates a run must not be sent twice: what could not be written is written later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
}
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_WAIT_SECONDS = 4.0
_LONGEST_WAIT = 86_400


def prepare_environment() -> None:
    """Set what MLflow reads when it is imported; values that the user has set stay."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # For an mlflow that was imported before, which has read its environment already.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a ``sqlite:///…`` URI, or None for any other URI."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def sqlite_uri(path: Path) -> str:
    """Return the URI of a sqlite file.

    Raises:
        StorageError: If its path has what means something else in a URI.
    """
    if set("?%") & set(str(path)):
        raise StorageError(
            f"{path.parent} has a '?' or '%', with which no MLflow store can be there; "
            "take another folder, or give `mlflow`"
        )
    return f"sqlite:///{path}"


def connect(
    uri: str, *, experiment: str, artifact_location: str | None = None, create: bool = True
) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the experiment, both created if absent.

    Args:
        uri: ``sqlite:///FILE``, ``http://…`` or any other MLflow tracking URI.
        experiment: Name of the experiment.
        artifact_location: Where a new experiment keeps its files, a path or URI. None takes the
            folder ``mlartifacts`` beside a sqlite file, and the server's own place elsewhere.
        create: False to raise rather than to create a sqlite file or an experiment.

    Raises:
        StorageError: If the store cannot be reached or written, is damaged or of another MLflow
            version, or (with ``create=False``) is absent.
    """
    with _one_at_a_time(uri, create):
        _check_reachable(uri, create)
        correct_moved(uri)
        prepare_environment()
        from mlflow import MlflowClient

        try:
            client = MlflowClient(tracking_uri=uri)
            known = client.get_experiment_by_name(experiment)
            if known is not None:
                if known.lifecycle_stage == "deleted":
                    client.restore_experiment(known.experiment_id)
                return client, str(known.experiment_id)
            if not create:
                raise StorageError(
                    f"MLflow store {without_password(uri)} has no experiment '{experiment}'"
                )
            path = sqlite_path(uri)
            location = artifact_location or (None if path is None else beside(path))
            return client, str(client.create_experiment(experiment, location))
        except StorageError:
            raise
        except Exception as error:  # SQLAlchemy, requests and MLflow each raise their own
            raise _cannot("be used", uri, error) from error


def correct_moved(uri: str) -> None:
    """Point a sqlite store that was moved with its files to them; leave any other store alone.

    Raises:
        StorageError: If it was moved, and cannot be written.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    try:
        correct_locations(path)
    except (OSError, sqlite3.Error) as error:
        raise _cannot("be corrected after it was moved", uri, error) from error


@contextmanager
def _one_at_a_time(uri: str, create: bool) -> Iterator[None]:
    """Let one process of this machine at a time open a sqlite store.

    Of two that make the tables of a new one, both fail, and the file stays half made.
    """
    path = sqlite_path(uri)
    if path is None:
        yield
        return
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except FileNotFoundError:
        yield  # what is not there is said by who looks for it
        return
    except OSError as error:
        raise _cannot("be used", uri, error) from error
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


# What MLflow answers to a request that it would refuse each time: its store is there.
_REFUSALS = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)


def is_refusal(error: BaseException) -> bool:
    """Return whether the store has refused a request, rather than failed to answer it."""
    return getattr(error, "error_code", None) in _REFUSALS


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return brief(printable(text), 200)


def _check_reachable(uri: str, create: bool) -> None:
    """Fail within seconds, where MLflow itself would try again for minutes."""
    path = sqlite_path(uri)
    if path is not None:
        _check_sqlite(uri, path, create)
        return
    parts = urlsplit(uri)
    if not parts.scheme:
        raise StorageError(
            f"MLflow URI '{uri}' has no scheme; write sqlite:///FILE or http://HOST:PORT"
        )
    try:
        if parts.scheme in ("http", "https"):
            _ask_server(uri)
        elif parts.hostname and (port := parts.port or _database_port(parts.scheme)):
            socket.create_connection((parts.hostname, port), timeout=_WAIT_SECONDS).close()
    except StorageError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _cannot("be reached", uri, error) from error


def _ask_server(uri: str) -> None:
    """Raise OSError unless something answers; what it answers is MLflow's to judge."""
    try:
        parts = urlsplit(f"{uri.rstrip('/')}/health")
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])  # urllib knows no user there
        urllib.request.urlopen(bare.geturl(), timeout=_request_seconds()).close()
    except urllib.error.HTTPError:
        return
    except urllib.error.URLError as error:
        # Whether a certificate may be unknown is among MLflow's own settings.
        if not isinstance(error.reason, ssl.SSLError):
            raise OSError(str(error.reason)) from error


def _request_seconds() -> int:
    """Return how long MLflow waits for an answer: a slow server is given as long when it is asked.

    Raises:
        StorageError: If the environment has no whole number of seconds that is at most a day.
    """
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    text = os.environ.get(name, _ENVIRONMENT[name])
    try:
        seconds = int(text)
    except ValueError:
        seconds = 0
    if not 1 <= seconds <= _LONGEST_WAIT:
        rule = f"a whole number of seconds from 1 to {_LONGEST_WAIT}"
        raise StorageError(f"{name} is '{text}', but must be {rule}; try {_ENVIRONMENT[name]}")
    return seconds


def _database_port(scheme: str) -> int | None:
    return _DATABASE_PORTS.get(scheme.split("+")[0])


def _check_sqlite(uri: str, path: Path, create: bool) -> None:
    if not create and not path.is_file():
        raise StorageError(f"there is no MLflow store {uri}: nothing has been tracked there yet")
    try:
        # Asking for the write lock tells a read-only or damaged file from a good one.
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.rollback()
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise _cannot("be used", uri, error) from error


def _cannot(what: str, uri: str, error: BaseException) -> StorageError:
    reason = one_line(error)
    password = urlsplit(uri).password
    if password is not None:
        reason = reason.replace(password, "…")
    return StorageError(f"MLflow store {without_password(uri)} cannot {what}: {reason}")


def without_password(uri: str) -> str:
    """Return a URI as it may be shown."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":…@")
