"""Rank correlations of training-free proxies with NAS-Bench-201's CIFAR-10 test accuracies.

Scores a uniform sample of the 15,625 cells by each proxy: networks at the benchmark's size (16
channels, 5 cells per stage) at initialization, on a minibatch of CIFAR-10 training images at 32
pixels. Prints Kendall's τ and Spearman's ρ to the test accuracy after 200 epochs, each with the
95 % percentile interval of bootstrap samples of the cells, the interval of the difference of τ to
that of the number of parameters, and for comparison all of it for the validation accuracy of the
benchmark's 12-epoch runs.

The results file contains every finished cell; an interrupted run resumes after the last ones.

    python benchmarks/proxies_nasbench201.py --data-dir CIFAR --table TABLE --results proxies.json
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr

from tune_nas import manifest
from tune_nas.files import write_atomically
from tune_nas.library import load_trial
from tune_nas.proxies import ProxyInputs, inputs_for, make_proxy
from tune_nas.spaces import Genotype, load_space

TRUE = "c10_test_200"
SHORT = "c10_valid_12"  # of the published runs of 12 epochs, which have their own annealing
GOOD = 94.0  # percent
BASELINE = "parameters"
BOOTSTRAPS = 1000
EVERY = 50  # cells between two writes of the results

Row = dict[str, str]
Values = Sequence[float] | np.ndarray
Statistic = Callable[[Values, Values], float]


def read_table(file: Path) -> list[Row]:
    """Return the rows of the benchmark's table."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def make_inputs(arguments: argparse.Namespace) -> ProxyInputs:
    """Return the network size and the minibatch of all scores."""
    data = load_trial("darts-1st", {"data.name": "cifar10", "data.dir": arguments.data_dir}).data
    return inputs_for(
        load_space("nasbench201"),
        data,
        init_channels=arguments.channels,
        cells=arguments.cells_per_stage,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
    )


class Scores:
    """The scores of the cells, in a JSON file.

    Args:
        file: The file.
        arguments: The options of the script.
    """

    def __init__(self, file: Path, arguments: argparse.Namespace) -> None:
        self.file = file
        names = ("channels", "cells_per_stage", "batch_size", "seed", "proxies")
        self.settings = {name: getattr(arguments, name) for name in names}
        self.settings["torch"] = torch.__version__
        self.cells: dict[str, dict[str, float]] = {}
        self.seconds = dict.fromkeys(arguments.proxies, 0.0)
        if file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["settings"] != self.settings:
                raise SystemExit(f"'{file}' has other settings; name another file for --results")
            self.cells, self.seconds = content["cells"], content["cpu_seconds"]

    def measure(self, cells: Sequence[str], inputs: ProxyInputs) -> None:
        """Score the cells that the file does not contain, and write it."""
        inputs.batch()  # reading the images is part of no score
        proxies = {name: make_proxy(name, inputs) for name in self.seconds}
        missing = [cell for cell in cells if cell not in self.cells]
        for position, cell in enumerate(missing, start=1):
            genotype, scores = Genotype.from_nasbench201(cell), {}
            for name, proxy in proxies.items():
                start = time.process_time()
                scores[name] = proxy.score(genotype)
                self.seconds[name] += time.process_time() - start
            self.cells[cell] = scores
            if position % EVERY == 0 or position == len(missing):
                print(f"{position} / {len(missing)} cells", flush=True)
                self.write()

    def write(self) -> None:
        content = {"settings": self.settings, "cpu_seconds": self.seconds, "cells": self.cells}
        write_atomically(self.file, json.dumps(content, indent=1).encode())


def tau(first: Values, second: Values) -> float:
    return float(kendalltau(first, second).statistic)


def rho(first: Values, second: Values) -> float:
    return float(spearmanr(first, second).statistic)


def with_interval(statistic: Statistic, first: Sequence[float], second: Sequence[float]) -> str:
    """Return a correlation and the 95 % interval of its bootstrap distribution as text."""
    one, other = np.array(first), np.array(second)
    generator = np.random.default_rng(0)
    picks = generator.integers(len(one), size=(BOOTSTRAPS, len(one)))
    low, high = np.quantile([statistic(one[pick], other[pick]) for pick in picks], [0.025, 0.975])
    return f"{statistic(one, other):.3f} [{low:.3f}, {high:.3f}]"


def difference(first: Values, other: Values, truth: Values) -> str:
    """Return the 95 % interval of the difference of two τ to the truth, on the same samples."""
    columns = np.array([first, other, truth])
    generator = np.random.default_rng(0)
    picks = generator.integers(len(columns[0]), size=(BOOTSTRAPS, len(columns[0])))
    found = []
    for pick in picks:
        own, base, true = columns[:, pick]
        found.append(tau(own, true) - tau(base, true))
    low, high = np.quantile(found, [0.025, 0.975])
    return f"[{low:+.3f}, {high:+.3f}]"


def report(rows: Sequence[Row], cells: Sequence[str], scores: Scores) -> None:
    """Print the table in Markdown, and what the benchmark's table alone says."""
    by_cell = {row["arch"]: row for row in rows}
    truth = [float(by_cell[cell][TRUE]) for cell in cells]
    titles = (
        "score",
        "Kendall's τ",
        "Spearman's ρ",
        f"τ − τ of `{BASELINE}`",
        "CPU seconds per cell",
    )
    print(f"| {' | '.join(titles)} |\n|---|---:|---:|---:|---:|")
    baseline = [float(by_cell[cell]["c10_params"]) for cell in cells]
    for name, seconds in scores.seconds.items():
        own = [scores.cells[cell][name] for cell in cells]
        each = seconds / len(scores.cells)
        print(
            f"| `{name}` | {with_interval(tau, own, truth)} | {with_interval(rho, own, truth)} "
            f"| {'' if name == BASELINE else difference(own, baseline, truth)} | {each:.3f} |"
        )
    short = [float(by_cell[cell][SHORT]) for cell in cells]
    both = f"{with_interval(tau, short, truth)} | {with_interval(rho, short, truth)}"
    print(
        f"| validation accuracy after 12 epochs | {both} | {difference(short, baseline, truth)} | |"
    )
    everything = [float(row[TRUE]) for row in rows]
    for title, column in (
        ("12 epochs, all 15,625 cells", SHORT),
        ("parameters, all 15,625 cells", "c10_params"),
    ):
        values = [float(row[column]) for row in rows]
        print(f"| {title} | {tau(values, everything):.3f} | {rho(values, everything):.3f} | | |")
    good = sum(accuracy >= GOOD for accuracy in everything)
    print(
        f"\n{len(cells):,} cells. {good} of {len(rows):,} have at least {GOOD} % test accuracy: "
        f"random search without repetition tests {(len(rows) + 1) / (good + 1):.1f} on average "
        "until the first of them"
    )


def main() -> None:
    """Score the cells that are not finished and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder with cifar-10-batches-py")
    parser.add_argument("--table", type=Path, required=True, help="nasbench201.csv.gz")
    parser.add_argument("--results", type=Path, required=True, help="JSON file, which is resumed")
    parser.add_argument("--proxies", nargs="+", default=list(manifest.SHIPPED["proxies"]))
    parser.add_argument("--cells", type=int, default=1000, help="number of cells, a sample")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells-per-stage", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = read_table(arguments.table)
    sample = random.Random(arguments.seed).sample(rows, arguments.cells)
    cells = [row["arch"] for row in sample]
    scores = Scores(arguments.results, arguments)
    scores.measure(cells, make_inputs(arguments))
    report(rows, cells, scores)


if __name__ == "__main__":
    main()
