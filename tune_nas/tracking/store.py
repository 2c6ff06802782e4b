"""Connecting to an MLflow store: quiet, without telemetry, with one-line errors within seconds."""

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
from urllib.parse import urlsplit

from tune_nas.errors import StorageError
from tune_nas.text import brief, printable
from tune_nas.tracking import mlflow_names as mlflow
from tune_nas.tracking.moved import beside, correct_locations
from tune_nas.tracking.new_store import copy_empty_store, keep_empty_store

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server's client would print the address of every run, even into JSON output.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow also raises whatever it logs as an error, and we turn that into one line.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # By default a lost server is retried for four minutes, while the sweep waits. And a request
    # that creates a run must not be sent twice: what could not be written is written later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
}
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_WAIT_SECONDS = 4.0
_LONGEST_WAIT = 86_400


def prepare_environment() -> None:
    """Set the environment that MLflow reads on import; values set by the user are kept."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # For an mlflow that was imported before and has already read its environment.
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a ``sqlite:///…`` URI, or None for other URIs."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def sqlite_uri(path: Path) -> str:
    """Return the URI of a sqlite file.

    Raises:
        StorageError: If its path contains characters with another meaning in a URI.
    """
    if set("?%") & set(str(path)):
        raise StorageError(
            f"{path.parent} has a '?' or '%', with which no MLflow store can be there; "
            "take another folder, or give `mlflow`"
        )
    return f"sqlite:///{path}"


def connect(
    uri: str, *, experiment: str, artifact_location: str | None = None, create: bool = True
) -> tuple[mlflow.MlflowClient, str]:
    """Return a client of the store and the id of the experiment, both created if absent.

    Args:
        uri: ``sqlite:///FILE``, ``http://…`` or any other MLflow tracking URI.
        experiment: Name of the experiment.
        artifact_location: Location of the files of a new experiment, a path or URI. None uses the
            folder ``mlartifacts`` beside a sqlite file, otherwise the default of the server.
        create: False to raise an error instead of creating a sqlite file or an experiment.

    Raises:
        StorageError: If the store cannot be reached or written, is damaged, is of another MLflow
            version, or (with ``create=False``) does not exist.
    """
    with _one_at_a_time(uri, create):
        _check_reachable(uri, create)
        correct_moved(uri)
        prepare_environment()
        path = sqlite_path(uri)
        try:
            is_new = path is not None and not path.stat().st_size
            copied = path is not None and is_new and copy_empty_store(path)
            client = mlflow.MlflowClient(tracking_uri=uri)
            if path is not None and is_new and not copied:
                keep_empty_store(path)
            known = client.get_experiment_by_name(experiment)
            if known is not None:
                if known.lifecycle_stage == "deleted":
                    client.restore_experiment(known.experiment_id)
                return client, str(known.experiment_id)
            if not create:
                raise StorageError(
                    f"MLflow store {without_password(uri)} has no experiment '{experiment}'"
                )
            location = artifact_location or (None if path is None else beside(path))
            return client, str(client.create_experiment(experiment, location))
        except StorageError:
            raise
        except Exception as error:  # SQLAlchemy, requests and MLflow raise different errors
            raise store_error("be used", uri, error) from error


def check_file(uri: str) -> None:
    """Check, without MLflow, that the file of a sqlite store can be written, if there is one.

    Raises:
        StorageError: If it cannot, or is damaged.
    """
    path = sqlite_path(uri)
    if path is not None and path.is_file():
        _check_sqlite(uri, path, create=True)


def correct_moved(uri: str) -> None:
    """Update the file locations of a sqlite store that was moved with its files.

    Raises:
        StorageError: If it was moved, and cannot be written.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    try:
        correct_locations(path)
    except (OSError, sqlite3.Error) as error:
        raise store_error("be corrected after it was moved", uri, error) from error


@contextmanager
def _one_at_a_time(uri: str, create: bool) -> Iterator[None]:
    """Let one process of this machine at a time open a sqlite store.

    If two create the tables of a new store at once, both fail, and the file stays incomplete.
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
        yield  # a missing folder is reported by the code that opens it
        return
    except OSError as error:
        raise store_error("be used", uri, error) from error
    try:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


# Error codes of requests that MLflow would refuse each time: the store itself is reachable.
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
    """Fail within seconds; MLflow itself would retry for minutes."""
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
        raise store_error("be reached", uri, error) from error


def _ask_server(uri: str) -> None:
    """Raise OSError unless something answers; MLflow judges the answer."""
    try:
        parts = urlsplit(f"{uri.rstrip('/')}/health")
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])  # urllib parses no user
        urllib.request.urlopen(bare.geturl(), timeout=_request_seconds()).close()
    except urllib.error.HTTPError:
        return
    except urllib.error.URLError as error:
        # Whether to accept an unknown certificate is one of MLflow's settings.
        if not isinstance(error.reason, ssl.SSLError):
            raise OSError(str(error.reason)) from error


def _request_seconds() -> int:
    """Return the timeout of MLflow's requests, which also applies to this check.

    Raises:
        StorageError: If the environment has no whole number of seconds up to one day.
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
        # Requesting the write lock detects a read-only or damaged file.
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.rollback()
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise store_error("be used", uri, error) from error


def store_error(what: str, uri: str, error: BaseException) -> StorageError:
    """Return the error of a store as one line without its password.

    Args:
        what: What the store cannot do, e.g. ``be used``.
        uri: URI of the store.
        error: The error that was raised.
    """
    reason = one_line(error)
    password = urlsplit(uri).password
    if password is not None:
        reason = reason.replace(password, "…")
    return StorageError(f"MLflow store {without_password(uri)} cannot {what}: {reason}")


def without_password(uri: str) -> str:
    """Return a URI without its password, for display."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":…@")
