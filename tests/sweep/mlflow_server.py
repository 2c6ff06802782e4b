"""An MLflow server over HTTP, as shared by a team."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tune_nas.tracking import MlflowTracker


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the store in a folder within the block; yields its address."""
    MlflowTracker(f"sqlite:///{folder}/mlflow.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("tune-nas")), "ui"]
    command += ["--port", str(port), "--storage", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("runs: ")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
