"""Output to a pipe or terminal that is closed or lacks a character is not an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("arguments", [["list", "trials"], ["list", "trials", "--format", "json"]])
def test_a_closed_pipe_is_quiet(arguments: list[str]) -> None:
    """As in `tune-nas list trials | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    code = "from tune_nas.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_closed_stdout_is_no_error() -> None:
    program = str(Path(sys.executable).with_name("tune-nas"))
    done = subprocess.run(
        ["sh", "-c", f"{program} list trials >&-"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_no_greek_is_no_error() -> None:
    program = str(Path(sys.executable).with_name("tune-nas"))
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([program, "list", "sweeps"], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"lambda" in done.stdout
