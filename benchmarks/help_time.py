"""Measure how long `tune-nas --help` takes: python benchmarks/help_time.py [RUNS]."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

GOAL_SECONDS = 0.5


def main() -> int:
    """Print each run and the median; status 1 if the median misses the goal."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    command = [str(Path(sys.executable).with_name("tune-nas")), "--help"]
    subprocess.run(command, check=True, capture_output=True)  # compiles bytecode
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print("runs:  ", " ".join(f"{value:.3f}" for value in seconds))
    print(f"median: {median:.3f} s of {GOAL_SECONDS} s, fastest {min(seconds):.3f} s")
    return 0 if median < GOAL_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
