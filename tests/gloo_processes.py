"""Runs a script in several processes that form a process group of the backend gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_gloo(script: Path, size: int, *arguments: str) -> list[str]:
    """Run a script with its rank, the number of processes and further arguments, in each process.

    Returns:
        What each process has printed to stderr; all of them must end with status 0.
    """
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else None
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(size), *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    ends = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * size, ends
    return ends
