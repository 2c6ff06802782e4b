"""Overhead of Ray for a trial: wall-clock time of its epochs against the same search in a loop.

The bare loop runs before and after, in a separate process, and saves a checkpoint every epoch
like the trial. An epoch under Ray is the time between two results at the driver. Prints
medians over the epochs after the first, and the overhead in percent.

    python benchmarks/ray_overhead.py --train-images 1024 --epochs 9
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from tune_nas.library import load_trial
from tune_nas.search import Search
from tune_nas.sweep import RunOptions, run_sweep
from tune_nas.sweep.resolve import load_sweep


def changes(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "space.name": "nasbench201",
        "space.init_channels": 8,
        "space.cells": 3,
        "data.resolution": 16,
        "data.train_images": options.train_images,
        "schedule.epochs": options.epochs,
        "schedule.batch_size": 64,
    }


def bare_loop(overrides: dict[str, Any]) -> list[float]:
    torch.set_num_threads(1)
    search, seconds = Search(load_trial("milenas", overrides)), []
    with tempfile.TemporaryDirectory() as folder:
        while not search.done:
            start = time.perf_counter()
            search.run_epoch()
            search.save(Path(folder) / str(search.epoch))
            seconds.append(time.perf_counter() - start)
    return seconds[1:]


def under_ray(overrides: dict[str, Any]) -> list[float]:
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.yaml"
        content = {
            "trial": "milenas",
            "set": overrides,
            "parameters": {"update.lambda": {"grid": [1.0]}},
            "retrain": 0,
        }
        path.write_text(yaml.safe_dump(content))
        options = RunOptions(storage=f"{folder}/runs", concurrency=1, quiet=True)
        outcome = run_sweep(load_sweep(str(path)), options)
        client = MlflowClient(outcome.mlflow_uri)
        experiments = [e.experiment_id for e in client.search_experiments()]
        runs = client.search_runs(experiments, "tags.`tune_nas.phase` = 'search'")
        history = client.get_metric_history(runs[0].info.run_id, "valid_accuracy")
    stamps = sorted(entry.timestamp / 1000 for entry in history)
    return [after - before for before, after in itertools.pairwise(stamps)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--train-images", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=9)
    options = parser.parse_args()
    overrides = changes(options)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before = pool.apply(bare_loop, (overrides,))
    ray_seconds = under_ray(overrides)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        after = pool.apply(bare_loop, (overrides,))
    bare, trial = statistics.median(before + after), statistics.median(ray_seconds)
    print(f"bare loop, before and after: {bare:.3f} s an epoch (median of {len(before + after)})")
    print(f"the trial under Ray: {trial:.3f} s an epoch (median of {len(ray_seconds)})")
    print(f"overhead: {100 * (trial / bare - 1):.1f} % of an epoch")


if __name__ == "__main__":
    main()
