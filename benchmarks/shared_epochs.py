"""Epochs and time of a sweep whose searches share epochs, against one with `share: false`.

Both are run in turn, one search at a time; their results must be equal. Times are the medians of
the rounds. `--clock wall` runs the sweeps under Ray as `tune-nas sweep` does; `--clock process`
runs the searches in this process and takes its CPU time, for a machine that is busy otherwise.
`--plan NAME` runs nothing: it prints what a sweep shares.

    python benchmarks/shared_epochs.py selection --set data.train_images=128
    python benchmarks/shared_epochs.py pc-darts --clock process
    python benchmarks/shared_epochs.py --plan methods --set data.name=digits
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tune_nas.sweep import RunOptions, run_sweep
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.local_execution import LocalPhaseRunner
from tune_nas.sweep.phases import phases_of, read_records
from tune_nas.sweep.resolve import base_trials, load_sweep
from tune_nas.sweep.runs.plan import Plan, State
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.sharing.planned import taken_over
from tune_nas.sweep.sharing.shared_text import planned_line
from tune_nas.tasks import find_task, task_of
from tune_nas.yaml_text import parse_yaml

LAMBDA_ON_PC_DARTS: dict[str, Any] = {
    "trial": "pc-darts",
    "set": {
        "space": {"name": "nasbench201", "init_channels": 8, "cells": 1},
        "data.train_images": 256,
        "schedule.batch_size": 32,
        "runtime.implementation": "torch",
        "update.level": "mixed",
    },
    "parameters": {"update.lambda": {"grid": [0, 0.1, 1, 10, 999, float("inf")]}},
    "retrain": 0,
}
"""Warm-up 15 of 50 epochs, as in the trial."""
MEASURED = ("seconds", "memory")


class NoTracking:
    """No MLflow runs."""

    def update(self, records: Records, job_id: str) -> None:
        """Write nothing."""


def sweep_of(name: str, changes: list[str]) -> SweepConfig:
    """Return the sweep to measure: a shipped one, or λ on pc-darts; some keys are set."""
    pairs = [change.partition("=") for change in changes]
    fixed = {key: parse_yaml(value) for key, _, value in pairs}
    if name != "pc-darts":
        return load_sweep(name, set=fixed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pc-darts.yaml")
        path.write_text(yaml.safe_dump(LAMBDA_ON_PC_DARTS))
        return load_sweep(path, set=fixed)


def run(sweep: SweepConfig, clock: str) -> tuple[float, list[Record]]:
    """Run the searches of a sweep; return the seconds and the records."""
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(storage=folder, concurrency=1, quiet=True)
        if clock == "wall":
            start = time.perf_counter()
            run_sweep(sweep, options, "run")
            seconds = time.perf_counter() - start
            return seconds, list(Records(Storage(folder).within("run"), "search"))
        plan = Plan(Storage(folder).within("run"), sweep, base_trials(sweep), State())
        known = read_records(plan)
        start = time.process_time()
        runner = LocalPhaseRunner(plan, options, {}, NoTracking(), Interruption(lambda: False))
        runner.run(phases_of(plan)[0], known)
        return time.process_time() - start, list(known["search"])


def results(records: list[Record]) -> list[Any]:
    """Return what must be equal: everything but times and memory."""
    return [
        (
            record.job,
            record.genotype,
            [
                {key: m[key] for key in m if not any(word in key for word in MEASURED)}
                for m in record.history
            ],
        )
        for record in records
    ]


def measure(name: str, changes: list[str], clock: str, rounds: int) -> None:
    """Run both sweeps in turn, and print their epochs and times."""
    sweep = sweep_of(name, changes)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    epochs: dict[bool, int] = {}
    for _ in range(rounds):
        found: dict[bool, list[Any]] = {}
        for share in (True, False):
            own = sweep.model_copy(update={"share": share})
            taken, records = run(own, clock)
            seconds[share].append(taken)
            epochs[share] = sum(record.epochs_run for record in records)
            found[share] = results(records)
        if found[True] != found[False]:
            raise SystemExit("the results differ")
    on, off = (statistics.median(seconds[share]) for share in (True, False))
    n = f"median of {rounds}" if rounds > 1 else "one round"
    print(f"{name}: the results are equal")
    print(f"epochs run: {epochs[True]} of {epochs[False]}: {epochs[True] / epochs[False]:.2f} x")
    print(f"{clock} time: {on:.1f} s of {off:.1f} s ({n}): {on / off:.2f} x")


def print_plan(name: str, changes: list[str]) -> None:
    """Print what a sweep would share."""
    sweep = sweep_of(name, changes)
    bases = base_trials(sweep)
    trials = [trial for _, _, trial in Plan(Storage("."), sweep, bases, State()).resolved.trials]
    taken = taken_over(sweep, bases)
    epochs = sum(find_task(task_of(sweep.task, trial)).epochs(trial) for trial in trials)
    print(f"{name}: {planned_line(taken, epochs) or 'nothing is shared'}")
    print(f"{(epochs - sum(taken)) / epochs:.2f} x")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sweep", nargs="?", default="selection", help="a sweep, or pc-darts")
    parser.add_argument("--clock", choices=("wall", "process"), default="wall")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plan", metavar="NAME", help="print what a sweep shares")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if options.plan:
        print_plan(options.plan, options.set)
    else:
        measure(options.sweep, options.set, options.clock, options.rounds)


if __name__ == "__main__":
    main()
