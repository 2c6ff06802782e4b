"""The memory of searches: the estimate of a dry run beside the peak of the trial's process.

Each search runs epochs of two steps and their evaluation in a process of its own, with and without
`runtime.recompute: cell`. The estimate is that of the dry run: the resident memory of a process
that has built nothing yet, and what `estimate_search_memory` says of the trial. *kept* is what a
full pass keeps for its backward pass, as in `benchmarks/steps.py`; *time* is the processor's time
of a step, the best, relative to the search without.

    python benchmarks/memory.py --batch-size 32 --docs docs/speed.md
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from pages import publish_table
from steps import trace

from tune_nas.library import load_trial
from tune_nas.runtime import resident_memory_mib
from tune_nas.search import Search
from tune_nas.search.search_memory import estimate_search_memory

TRIALS = ("darts-1st", "darts-2nd", "pc-darts", "gdas", "drnas")
STEPS = 2
EPOCHS = 3


def measure(name: str, batch_size: int | None, recompute: str) -> dict[str, float]:
    """Return estimate, measured peak and seconds of a trial in this process, in MiB."""
    size = {} if batch_size is None else {"schedule.batch_size": batch_size}
    settings = {"data.name": "fake", "data.resolution": 32, "update.warmup": 0, **size}
    images = 2 * STEPS * load_trial(name, settings).schedule.batch_size
    settings |= {"data.train_images": images, "runtime.recompute": recompute}
    settings |= {"runtime.device": "cpu", "schedule.epochs": EPOCHS}
    trial = load_trial(name, settings)
    torch.set_num_threads(1)
    estimate = resident_memory_mib() + estimate_search_memory(trial) / 2**20
    search = Search(trial)
    seconds, peaks = list[float](), list[float]()
    for _ in range(EPOCHS):
        marks = [time.process_time()]
        found = search.run_epoch(lambda done, steps, marks=marks: marks.append(time.process_time()))
        seconds += [after - before for before, after in itertools.pairwise(marks)]
        peaks.append(found["memory_mib"])
    return {
        "estimate": estimate,
        "measured": max(peaks),
        "seconds": min(seconds),
        "kept_mb": trace(search, trial.runtime.implementation)["kept_mb"],
        "batch_size": trial.schedule.batch_size,
    }


def as_markdown(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the table for the documentation."""
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()} CPU, one thread, torch "
        f"{torch.__version__.split('+')[0]}; 32 pixels, {EPOCHS} epochs of {STEPS} steps.",
        "",
        "| trial | batch | `recompute` | kept | time | estimate | measured | off by |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    without = {row["trial"]: row for row in rows if row["recompute"] == "never"}
    lines += [
        f"| `{row['trial']}` | {row['batch_size']:.0f} | {row['recompute']} | "
        f"{row['kept_mb']:,.0f} MB | {row['seconds'] / without[row['trial']]['seconds']:.2f} × | "
        f"{row['estimate']:,.0f} MiB | {row['measured']:,.0f} MiB | "
        f"{100 * (row['estimate'] / row['measured'] - 1):+.0f} % |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure each trial in a process of its own, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", nargs="+", default=list(TRIALS))
    parser.add_argument("--batch-size", type=int, help="instead of that of each trial")
    parser.add_argument("--docs", type=Path, help="a page whose table of memory is replaced")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        name, recompute = options.one
        print(json.dumps(measure(name, options.batch_size, recompute)))
        return
    size = [] if options.batch_size is None else ["--batch-size", str(options.batch_size)]
    rows = []
    for name in options.trials:
        for recompute in ("never", "cell"):
            command = [sys.executable, __file__, "--one", name, recompute, *size]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append({"trial": name, "recompute": recompute, **found})
            print(rows[-1], flush=True)
    publish_table(options.docs, "memory", as_markdown(rows, options))


if __name__ == "__main__":
    main()
