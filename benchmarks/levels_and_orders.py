"""Seconds of a search epoch's steps by level, order and sequence, side by side.

Every variant trains the same supernet on the same images; the variants take turns within each
round, so that other load on the machine slows all of them. Prints medians over the rounds and
their ratio to bilevel, order 2, alphas-first (DARTS-2nd). MiLeNAS (CVPR 2020) reports mixed level,
order 1, to be over three times faster than that.

    python benchmarks/levels_and_orders.py --data cifar10 --data-dir PATH --resolution 16 \
        --output benchmarks/results/levels_and_orders.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tune_nas.config import TrialConfig
from tune_nas.library import with_overrides
from tune_nas.search import Search

SEQUENCES = ("simultaneous", "weights-first", "alphas-first")
REFERENCE = "bilevel, order 2, alphas-first"


def variants() -> dict[str, dict[str, Any]]:
    """Return the updates to time, by their name in the table."""
    found: dict[str, dict[str, Any]] = {}
    for level, orders in (("single", (1,)), ("bilevel", (1, 2)), ("mixed", (1, 2))):
        for order in orders:
            for sequence in SEQUENCES:
                update = {"level": level, "order": order, "sequence": sequence}
                if level == "mixed":
                    update["lambda"] = 1.0
                found[f"{level}, order {order}, {sequence}"] = {"update": update}
    return found


def time_epochs(trial: TrialConfig, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of the train part of an epoch, by variant and round."""
    searches = {
        name: Search(with_overrides(trial, changes)) for name, changes in variants().items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    for round_ in range(rounds + 1):
        for name, search in searches.items():
            marks = [time.perf_counter()]
            search.run_epoch(lambda done, steps, marks=marks: marks.append(time.perf_counter()))
            if round_ > 0:  # the first warms up
                seconds[name].append(marks[-1] - marks[0])
    return seconds


def main() -> None:
    """Time, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--space", default="darts")
    parser.add_argument("--init-channels", type=int, default=4)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--train-images", type=int, default=256)
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    trial = TrialConfig.model_validate(
        {
            "space": {
                "name": options.space,
                "init_channels": options.init_channels,
                "cells": options.cells,
            },
            "data": {
                "name": options.data,
                "dir": options.data_dir,
                "train_images": options.train_images,
                "resolution": options.resolution,
            },
            "schedule": {"epochs": options.rounds + 1, "batch_size": options.batch_size},
            "runtime": {"device": options.device},
        }
    )
    seconds = time_epochs(trial, options.rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    table = Table("update", "seconds per epoch", f"times faster than {REFERENCE}")
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}", f"{medians[REFERENCE] / median:.2f}")
    Console().print(table)
    if options.output is not None:
        record = {
            "settings": {
                key: str(value) for key, value in vars(options).items() if key != "data_dir"
            },
            "machine": f"{platform.machine()}, {platform.system()}, torch {torch.__version__}",
            "seconds": seconds,
            "ratio_to_reference": {n: medians[REFERENCE] / m for n, m in medians.items()},
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
