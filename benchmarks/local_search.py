"""Compare a search in this process with one on Ray: python benchmarks/local_search.py [RUNS].

Both forms run `tune-nas search darts-1st --epochs 1` on the embedded digits, in turns, each in an
empty storage. A run of each before the measured ones compiles bytecode and kernels, and fills the
cache with MLflow's empty store. Prints the wall time until the line of the finished trial, and
until the command has ended.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

GOAL = 0.35


class Seconds(NamedTuple):
    """Wall time of a command."""

    result: float
    end: float


def measure(form: str) -> Seconds:
    """Run one search; the form is ``--ray`` or ``--no-ray``."""
    command = [str(Path(sys.executable).with_name("tune-nas")), "search", "darts-1st", form]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--epochs", "1", "--storage", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        result = float("nan")
        for line in process.stderr:
            if "1/1" in line:
                result = time.perf_counter() - start
        if process.wait() != 0:
            raise SystemExit(f"{form}: status {process.returncode}")
        return Seconds(result, time.perf_counter() - start)


def main() -> int:
    """Print each pair of runs and the ratios; status 1 if the median ratio misses the goal."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for form in ("--ray", "--no-ray"):
        measure(form)
    ratios: list[Seconds] = []
    print("         Ray: result  end   here: result  end   ratio: result  end   load")
    for number in range(1, runs + 1):
        ray, here = measure("--ray"), measure("--no-ray")
        ratios.append(Seconds(here.result / ray.result, here.end / ray.end))
        print(
            f"run {number}: {ray.result:12.1f} {ray.end:5.1f} {here.result:14.1f} {here.end:5.1f}"
            f" {ratios[-1].result:15.2f} {ratios[-1].end:5.2f} {os.getloadavg()[0]:6.1f}",
            flush=True,
        )
    medians = [statistics.median(values) for values in zip(*ratios, strict=True)]
    print(f"median ratio: {medians[0]:.2f} to the result, {medians[1]:.2f} to the end; goal {GOAL}")
    return 0 if medians[0] <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
