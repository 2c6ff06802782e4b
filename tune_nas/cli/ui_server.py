"""The work of `tune-nas ui`: the MLflow UI on this project's store, on this machine alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from urllib.request import urlopen

from tune_nas.cli.option_values import mlflow_uri
from tune_nas.cli.output import echo
from tune_nas.cli.ui_links import UiLinks, ui_links
from tune_nas.errors import StorageError
from tune_nas.sweep.runs.store_uri import store_exists
from tune_nas.tracking.store import correct_moved

_HOST = "127.0.0.1"
_START_LIMIT = 60.0  # seconds; it takes about 6
_STOP_LIMIT = 10.0


def serve(
    mlflow: str | None,
    storage: str,
    port: int,
    name: str | None = None,
    *,
    open_page: bool = False,
) -> None:
    """Run the UI until Ctrl-C; of a store that is a server, print its links only.

    Args:
        mlflow: URI of the store; None for that of the storage.
        storage: Folder or URI in which runs are stored.
        port: Port of the UI.
        name: Sweep whose view is prepared; None for the latest.
        open_page: Whether to open the view in the browser.

    Raises:
        StorageError: If there is no store, the port is taken, the server does not start, or the
            store has no such sweep.
    """
    uri = mlflow_uri(mlflow, storage)
    if uri.startswith(("http://", "https://")):
        echo("the store is a server that has its UI already")
        _show(ui_links(uri, uri, name), open_page)
        return
    if not store_exists(uri):
        raise StorageError(f"there is no MLflow store at {uri}; run a search or a sweep first")
    correct_moved(uri)
    _check_port(port)
    # SIGTERM ends the server too, and so does Ctrl-C even if a shell had it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    server = _start(uri, port)
    try:
        base = f"http://{_HOST}:{port}"
        links = ui_links(uri, base, name)  # while the server starts
        _wait_until_ready(server, base)
        _show(links, open_page)
        echo("Ctrl-C ends the UI.")
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        _stop(server)


def _start(uri: str, port: int) -> subprocess.Popen[bytes]:
    # One worker and no job execution: 2 processes and 6 s to start instead of 15 and 12 s.
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--host", _HOST, "--port", str(port), "-w", "1"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    # A separate session, so that Ctrl-C reaches this process, which then ends the server.
    return subprocess.Popen(
        command,
        env={**os.environ, **quiet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its worker, which form a process group."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(_STOP_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise StorageError(f"port {port} is taken; give another with --port") from error


def _wait_until_ready(server: subprocess.Popen[bytes], base: str) -> None:
    limit = time.monotonic() + _START_LIMIT
    while time.monotonic() < limit:
        if server.poll() is not None:
            raise StorageError(f"the MLflow UI ended at once, with status {server.returncode}")
        try:
            with urlopen(f"{base}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise StorageError(f"the MLflow UI did not answer at {base} within {_START_LIMIT:.0f} s")


def _show(links: UiLinks, open_page: bool) -> None:
    """Print the links; open the view, or the table without a view, if asked."""
    echo(links.lines())
    if open_page and not webbrowser.open(links.view or links.runs):
        echo("no browser was found; open the link by hand")
