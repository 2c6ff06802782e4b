"""Cost of a sweep's driver: CPU seconds a trial, memory, the time to resume and to list runs.

The trials are stand-ins that compute nothing. They have two epochs, because ASHA requires at least
two, and it may stop them after the first. Everything else is as in any sweep: samples of TPE,
ASHA, records, checkpoints, Optuna's file, MLflow in sqlite, the report. Each sweep runs in a
separate process, which is the driver; processes of Ray are not counted.

    python benchmarks/driver_cost.py                             # 100 and 1,000 trials, both ways
    python benchmarks/driver_cost.py --trials 100 --execution here
    python benchmarks/driver_cost.py --trials 300 --execution here --profile driver.prof
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tune_nas.config import TrialConfig
from tune_nas.sweep import RunOptions, resume_sweep, run_sweep, runner
from tune_nas.sweep.resolve import load_sweep
from tune_nas.sweep.runs.records import Records
from tune_nas.tasks import Inputs, SearchTask, Task

OPERATIONS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3")
GOALS = "goals: 0.15 CPU s a trial, 600 MB; resume < 30 s, runs < 2 s, of 1,000 trials"
WORKERS = 2


class Found:
    """Random cells of DARTS, as a real search of each trial would find others."""

    def __init__(self, trial: TrialConfig) -> None:
        generator = random.Random(repr(trial.optimizer))
        cells: dict[str, dict[str, str]] = {}
        for cell in ("normal", "reduction"):
            edges = [
                (source, node)
                for node in range(2, 6)
                for source in sorted(generator.sample(range(node), 2))
            ]
            cells[cell] = {f"{s}->{t}": generator.choice(OPERATIONS) for s, t in edges}
        self._text = yaml.safe_dump({"space": "darts", "cells": cells})

    def to_yaml(self) -> str:
        return self._text


class Instant:
    """A search that computes nothing; its accuracy is best at certain learning rates."""

    def __init__(self, trial: TrialConfig) -> None:
        self.epochs, self.epoch, self.found = trial.schedule.epochs, 0, Found(trial)
        rates = trial.optimizer
        ratios = (rates.weights.learning_rate / 0.03, rates.alphas.learning_rate / 0.003)
        self.accuracy = 90 / (1 + sum((ratio - 1) ** 2 for ratio in ratios))

    @property
    def done(self) -> bool:
        return self.epoch >= self.epochs

    def result(self) -> Found:
        return self.found

    def remarks(self) -> dict[str, str]:
        return {}

    def artifacts(self) -> dict[str, str]:
        return {}

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        self.epoch += 1
        accuracies = {"valid_accuracy": self.accuracy, "train_accuracy": self.accuracy + 1}
        return {"epoch": self.epoch, "seconds": 0.0, "gap": 1.0, "genotype/skips": 8, **accuracies}

    def save(self, folder: Path) -> None:
        (folder / "search.pt").write_text(str(self.epoch))

    def load(self, folder: Path) -> None:
        self.epoch = int((folder / "search.pt").read_text())


class InstantTask(Task):
    section = "schedule"

    def epochs(self, trial: TrialConfig) -> int:
        return SearchTask().epochs(trial)

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Accept every trial."""

    def build(self, trial: TrialConfig, inputs: Inputs, together: Any = None) -> Instant:
        return Instant(trial)


def write_sweep(folder: Path, trials: int) -> Path:
    rate = {"loguniform": [0.001, 1.0]}
    content = {
        "trial": "milenas",
        "set": {"schedule.epochs": 2},
        "parameters": {
            "optimizer.weights.learning_rate": rate,
            "optimizer.alphas.learning_rate": rate,
            "relaxation.kind": {"choice": ["softmax", "sigmoid"]},
        },
        **{"searcher": "tpe", "trials": trials, "scheduler": "asha", "retrain": 0},
        "asha": {"grace_period": 1, "reduction_factor": 3},
    }
    (folder / "cost.yaml").write_text(yaml.safe_dump(content))
    return folder / "cost.yaml"


def drive(options: argparse.Namespace) -> None:
    """Run or resume a sweep in this process, and print what that took as JSON."""
    here = options.execution == ["here"]
    runner.runs_here = lambda *_: here
    tasks: dict[str, Task] = {"search": InstantTask()}
    where = RunOptions(storage=f"{options.folder}/runs", quiet=True, concurrency=WORKERS)
    start = Records.start
    killed = options.trials[0] // 2 if options.part == "killed" else None

    def started(self: Records, job: Any) -> Any:
        if options.part == "resumed":
            line = json.dumps({"resumed": time.time() - options.since})
            print(line, file=sys.__stdout__, flush=True)  # a sweep puts other output into its log
            raise KeyboardInterrupt
        if killed is not None and len(self) > killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return start(self, job)

    Records.start = started  # type: ignore[method-assign]
    if options.part == "resumed":
        try:
            resume_sweep("cost", where, tasks=tasks)
        except KeyboardInterrupt:
            return
    sweep = load_sweep(write_sweep(Path(options.folder), options.trials[0]))
    if options.profile:
        with cProfile.Profile(time.process_time) as profile:
            run_sweep(sweep, where, tasks=tasks)
        profile.dump_stats(options.profile)
    else:
        run_sweep(sweep, where, tasks=tasks)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024}))


def run_part(part: str, trials: int, execution: str, folder: str, *more: str) -> dict[str, float]:
    """Run a part in a process of its own; return what it prints."""
    own = ["--part", part, "--trials", str(trials), "--execution", execution, "--folder", folder]
    command = [sys.executable, __file__, *own, "--since", str(time.time()), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if part != "killed" and done.returncode:
        raise SystemExit(done.stderr)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {}


def seconds_of_runs(folder: str) -> float:
    command = [str(Path(sys.executable).with_name("tune-nas")), "runs"]
    start = time.perf_counter()
    subprocess.run([*command, "--storage", f"{folder}/runs"], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--execution", nargs="+", choices=["here", "ray"], default=["here", "ray"])
    parser.add_argument("--profile", help="file of cProfile's statistics of the driver")
    parser.add_argument("--no-resume", action="store_true", help="do not kill and resume sweeps")
    for hidden in ("--part", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--since", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        drive(options)
        return
    more = ["--profile", str(Path(options.profile).resolve())] if options.profile else []
    for execution in options.execution:
        known: list[tuple[int, float]] = []
        for trials in options.trials:
            with tempfile.TemporaryDirectory() as folder:
                found = run_part("whole", trials, execution, folder, *more)
                listed = seconds_of_runs(folder)
            known.append((trials, found["cpu"]))
            line = f"{execution:4} {trials:5} trials: {found['cpu'] / trials:.3f} CPU s a trial"
            line += f", {found['mb']:.0f} MB; runs {listed:.2f} s"
            if not options.no_resume:
                with tempfile.TemporaryDirectory() as folder:
                    run_part("killed", trials, execution, folder)
                    resumed = run_part("resumed", trials, execution, folder)
                line += f"; resume {resumed['resumed']:.1f} s"
            print(line, flush=True)
        (first, least), (last, most) = known[0], known[-1]
        if last > first:
            each = (most - least) / (last - first)
            print(f"{execution:4} from {first} to {last}: {each:.3f} CPU s a further trial")
    print(GOALS)


if __name__ == "__main__":
    main()
