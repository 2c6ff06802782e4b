import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

from tune_nas.errors import StorageError
from tune_nas.tracking import Experiment, MlflowTracker, RunReader
from tune_nas.tracking.store import sqlite_uri


def failure(uri: str, **changes: object) -> tuple[str, float]:
    """Return the message of the StorageError, and after how many seconds it came."""
    start = time.monotonic()
    with pytest.raises(StorageError) as caught:
        Experiment(uri, **changes)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message, time.monotonic() - start


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for connection in held:
            connection.close()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
def test_a_refused_connection_is_one_line_at_once(scheme: str, free_port: int) -> None:
    message, seconds = failure(f"{scheme}://127.0.0.1:{free_port}/mlflow")
    assert f"127.0.0.1:{free_port}" in message
    assert "cannot be reached" in message
    assert "refused" in message
    assert seconds < 2


def test_a_server_that_never_answers_is_given_up(
    silent_server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    message, _ = failure(f"http://127.0.0.1:{silent_server}")
    assert "cannot be reached" in message
    assert "timed out" in message


class SlowHandler(BaseHTTPRequestHandler):
    """Is well, and takes 1.5 s to say so; knows nothing of MLflow."""

    def do_GET(self) -> None:
        healthy = self.path == "/health"
        time.sleep(1.5 if healthy else 0)
        with suppress(OSError):  # who asked may be gone
            self.send_response(200 if healthy else 404)
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_slow_server_is_waited_for_as_long_as_mlflow_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        message, _ = failure(uri)
        assert "cannot be reached: timed out" in message
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        message, _ = failure(uri)
        assert "cannot be used" in message and "404" in message  # it was asked for runs
        server.shutdown()


@pytest.mark.parametrize("text", ["soon", "0", "-3", "1.5", "", "1e9", "999999999999"])
def test_a_waiting_time_that_is_none_is_refused(
    free_port: int, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", text)
    message, _ = failure(f"http://127.0.0.1:{free_port}")
    assert message == (
        f"MLFLOW_HTTP_REQUEST_TIMEOUT is '{text}', but must be a whole number of seconds from 1 to "
        "86400; try 8"
    )


def test_a_password_is_not_shown(free_port: int) -> None:
    message, _ = failure(f"postgresql://me:hunter2@127.0.0.1:{free_port}/mlflow")
    assert "hunter2" not in message
    assert "me:…@127.0.0.1" in message


def test_a_uri_without_a_scheme_says_what_to_write() -> None:
    message, _ = failure("runs/mlflow.db")
    assert "write sqlite:///FILE" in message


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message, _ = failure(f"sqlite:///{tmp_path}/file/mlflow.db")
    assert "cannot be used" in message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_no_database_is_one_line_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("not a database at all, but long enough to be looked at " * 20)
    before = path.read_bytes()
    message, _ = failure(f"sqlite:///{path}")
    assert "not a database" in message
    assert path.read_bytes() == before


def test_looking_does_not_create(tmp_path: Path, store: str) -> None:
    message, _ = failure(f"sqlite:///{tmp_path}/absent/mlflow.db", create=False)
    assert "nothing has been tracked there yet" in message
    assert not (tmp_path / "absent").exists()
    message, _ = failure(store, create=False, name="other")
    assert "no experiment 'other'" in message


def test_artifacts_lie_beside_the_sqlite_file(tmp_path: Path, store: str) -> None:
    tracker = MlflowTracker(store)
    run = tracker.sweep_run("s", {})
    tracker.log_artifact(run, b"text", "folder/name.txt")
    found = list((tmp_path / "mlartifacts").rglob("name.txt"))
    assert [path.read_bytes() for path in found] == [b"text"]
    assert found[0].parent.name == "folder"


def test_a_deleted_experiment_is_taken_again(store: str) -> None:
    from mlflow import MlflowClient

    first = Experiment(store)
    MlflowClient(store).delete_experiment(first.experiment_id)
    assert Experiment(store).experiment_id == first.experiment_id


def test_a_new_store_is_made_quietly_without_telemetry_and_in_its_place_alone(
    first_use: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = first_use
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in (folder / "new").iterdir()] == ["mlflow.db"]


def test_two_processes_may_make_a_new_store_at_once(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tune_nas.tracking import MlflowTracker\n"
        "print(MlflowTracker(sys.argv[1]).sweep_run(sys.argv[2], {}))"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/new/mlflow.db"]
    both = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "ab"]
    printed = {process.communicate(timeout=120)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    runs = RunReader(f"sqlite:///{tmp_path}/new/mlflow.db").list_runs()
    assert {run.run_id for run in runs} == printed and len(printed) == 2


def test_a_user_in_the_address_of_a_server_is_not_taken_for_its_name() -> None:
    """It answers, so that MLflow is asked; its message then has no password."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        message, _ = failure(f"http://joe:s3cret@127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "cannot be used" in message
    assert "joe:…@127.0.0.1" in message and "s3cret" not in message


@pytest.mark.parametrize("name", ["a?b", "r%41"])
def test_a_folder_that_no_uri_can_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="has a '\\?' or '%', with which no MLflow store can be"):
        sqlite_uri(tmp_path / name / "mlflow.db")


def test_no_message_has_a_password() -> None:
    message, _ = failure("foo://joe:s3cret@127.0.0.1/db")
    assert "s3cret" not in message
