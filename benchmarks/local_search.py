"""Compare a search in this process with another form: python benchmarks/local_search.py [RUNS].

Each form runs `tune-nas search darts-1st --epochs 1` on the embedded digits, in turns, in an empty
storage: that on Ray, or with `--base PATH` that of another checkout with its own `.venv`, and that
in this process. A run of each before the measured ones compiles bytecode and kernels, and fills the
cache with MLflow's empty store. Prints the wall time until the line of the finished trial and until
the command has ended, and the CPU time of the command and of what it waited for; Ray's servers and
workers are not in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

GOAL = 0.35


class Seconds(NamedTuple):
    """Wall times of a command, and its CPU time."""

    result: float
    end: float
    cpu: float


def measure(*command: str) -> Seconds:
    """Run one search with the program and options of a form."""
    program, *options = command
    with tempfile.TemporaryDirectory() as folder:
        before, start = _cpu_of_children(), time.perf_counter()
        process = subprocess.Popen(
            [program, "search", "darts-1st", *options, "--epochs", "1", "--storage", folder],
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
            raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
        return Seconds(result, time.perf_counter() - start, _cpu_of_children() - before)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Print each pair of runs and the ratios; status 1 if the median ratio misses the goal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=5, metavar="RUNS")
    parser.add_argument("--base", type=Path, metavar="PATH", help="checkout to compare with")
    arguments = parser.parse_args()
    here = str(Path(sys.executable).with_name("tune-nas"))
    other = [here, "--ray"]
    if arguments.base is not None:
        other = [str(arguments.base.absolute() / ".venv" / "bin" / "tune-nas")]
    forms = (other, [here, "--no-ray"])
    for form in forms:
        measure(*form)
    ratios: list[Seconds] = []
    print(
        "        other: result   end   cpu   here: result   end   cpu   ratio: result  end   load"
    )
    for number in range(1, arguments.runs + 1):
        than, ours = (measure(*form) for form in forms)
        pairs = zip(ours, than, strict=True)
        ratios.append(Seconds(*(mine / theirs for mine, theirs in pairs)))
        print(
            f"run {number}: {than.result:14.1f} {than.end:5.1f} {than.cpu:5.1f}"
            f" {ours.result:14.1f} {ours.end:5.1f} {ours.cpu:5.1f}"
            f" {ratios[-1].result:15.2f} {ratios[-1].end:4.2f} {os.getloadavg()[0]:6.1f}",
            flush=True,
        )
    medians = [statistics.median(values) for values in zip(*ratios, strict=True)]
    print(f"median ratio: {medians[0]:.2f} to the result, {medians[1]:.2f} to the end; goal {GOAL}")
    return 0 if medians[0] <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
