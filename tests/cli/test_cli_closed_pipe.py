"""A reader that has enough, e.g. `tune-nas list trials | head -1`, ends a command quietly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("arguments", [["list", "trials"], ["list", "trials", "--format", "json"]])
def test_a_closed_pipe_is_quiet(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "from tune_nas.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
