"""A search step with one thread and with several (`runtime.threads`), by implementation.

The numbers of threads take turns, each in a process of its own; prints the best round. *wall* is
the time of a step on a clock, which counts only on an idle machine. *main thread* is the
processor's time of the thread that runs Python and its share of every kernel, while the others do
not spin (OMP_WAIT_POLICY=passive): what a step takes if every thread has a core. It can be measured
while other processes run, but does not contain the time for which a thread waits for another.

    python benchmarks/threads.py --docs docs/speed.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from pages import publish_table

from tune_nas.library import load_trial
from tune_nas.search import Search

FORMS = ("torch", "fast")


def measure(form: str, threads: int, options: argparse.Namespace) -> dict[str, float]:
    """Return wall time and processor time of a step in this process, in seconds, the best."""
    size = options.batch_size
    trial = load_trial(
        options.trial,
        {
            "data.name": "fake",
            "data.resolution": 32,
            "data.train_images": 2 * size,
            "schedule.batch_size": size,
            "schedule.steps_per_epoch": 1,
            "schedule.epochs": options.steps + 1,
            "update.warmup": 0,
            "runtime.device": "cpu",
            "runtime.threads": threads,
            "runtime.implementation": form,
        },
    )
    search = Search(trial)
    torch.set_num_threads(threads)
    found: list[dict[str, float]] = []

    def mark(done: int, steps: int) -> None:
        after = (time.perf_counter(), time.thread_time(), time.process_time())
        names = ("wall", "main", "process")
        found.append({n: b - a for n, a, b in zip(names, before, after, strict=True)})

    for _ in range(options.steps + 1):
        before = (time.perf_counter(), time.thread_time(), time.process_time())
        search.run_epoch(mark)
    return {name: min(step[name] for step in found[1:]) for name in found[0]}


def as_markdown(best: dict[tuple[str, int], dict[str, float]], options: argparse.Namespace) -> str:
    """Return the table for the documentation."""
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()} CPU, torch "
        f"{torch.__version__.split('+')[0]}; `{options.trial}`, 32 pixels, batch "
        f"{options.batch_size}, rounds: {options.rounds}.",
        "",
        "| implementation | threads | main thread | times faster | wall | times faster |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for (form, threads), found in best.items():
        one = best[form, options.threads[0]]
        lines.append(
            f"| {form} | {threads} | {found['main']:.2f} s | {one['main'] / found['main']:.2f} × | "
            f"{found['wall']:.2f} s | {one['wall'] / found['wall']:.2f} × |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure in processes that take turns, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trial", default="darts-1st")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--forms", nargs="+", default=list(FORMS))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--docs", type=Path, help="a page whose table of threads is replaced")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one[0], int(options.one[1]), options)))
        return
    best: dict[tuple[str, int], dict[str, float]] = {}
    passed = [f"--trial={options.trial}", f"--batch-size={options.batch_size}"]
    passed.append(f"--steps={options.steps}")
    for _ in range(options.rounds):
        for form in options.forms:
            for threads in options.threads:
                command: list[Any] = [sys.executable, __file__, "--one", form, threads, *passed]
                settings = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}
                done = subprocess.run(
                    list(map(str, command)),
                    check=True,
                    capture_output=True,
                    text=True,
                    env={**os.environ, **settings},
                )
                found = json.loads(done.stdout.splitlines()[-1])
                known = best.setdefault((form, threads), found)
                best[form, threads] = {n: min(known[n], found[n]) for n in found}
                print(form, threads, found, flush=True)
    publish_table(options.docs, "threads", as_markdown(best, options))


if __name__ == "__main__":
    main()
