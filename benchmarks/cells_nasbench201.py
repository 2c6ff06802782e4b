"""Trainings of NAS-Bench-201 cells at a reduced size, compared with the table's 12-epoch results.

Trains cells by the recipe ``nasbench201`` with 12 epochs on CIFAR-10 and prints Kendall's τ and
Spearman's ρ between the test accuracies after the last epoch and those of the benchmark's
12-epoch runs. Without ``--cell``, the cells are spread over the table: of all cells in the order of
their 12-epoch test accuracy (equal ones in the order of the table), those in the middle of n equal
parts, i.e. at the quantiles (k + 1/2) / n.

The results file contains every completed epoch. An interrupted run resumes after the last one.

    python benchmarks/cells_nasbench201.py --data-dir CIFAR --table TABLE --results cells.json
    python benchmarks/cells_nasbench201.py --data-dir CIFAR --table TABLE --results resnet.json \
        --channels 16 --cells-per-stage 5 --batch-size 256 --images 50000 \
        --cell '|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|'
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from contextlib import suppress
from pathlib import Path

import torch
from scipy.stats import kendalltau, spearmanr

from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError
from tune_nas.files import make_folder, write_atomically
from tune_nas.library import load_trial
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype

History = list[dict[str, float]]
COLUMN = "c10_test_12"  # of the published runs of 12 epochs, which have their own annealing


def published_accuracies(table: Path) -> dict[str, float]:
    """Return the CIFAR-10 test accuracies after 12 epochs by cell, in percent."""
    with gzip.open(table, "rt", encoding="utf-8", newline="") as stream:
        return {row["arch"]: float(row[COLUMN]) for row in csv.DictReader(stream)}


def spread(published: dict[str, float], n: int) -> list[str]:
    """Return n cells at the quantiles (k + 1/2) / n of the published accuracy, worst first."""
    ordered = sorted(published, key=published.__getitem__)
    return [ordered[(2 * k + 1) * len(ordered) // (2 * n)] for k in range(n)]


def reduced_trial(arguments: argparse.Namespace) -> TrialConfig:
    """Return the trial of all trainings."""
    return load_trial(
        "darts-1st",
        {
            "space": "nasbench201",
            "data.name": "cifar10",
            "data.dir": arguments.data_dir,
            "data.train_images": arguments.images,
            "retrain.recipe": "nasbench201",
            "retrain.epochs": arguments.epochs,
            "retrain.init_channels": arguments.channels,
            "retrain.cells": arguments.cells_per_stage,
            "retrain.batch_size": arguments.batch_size,
            "seed": arguments.seed,
        },
    )


class Results:
    """The histories of the trainings, in a JSON file.

    Args:
        file: The file; the checkpoint of the training in progress is in a folder beside it.
        trial: The trial of all trainings.
    """

    def __init__(self, file: Path, trial: TrialConfig) -> None:
        self.file, self.trial = file, trial
        self.checkpoint = file.with_suffix(".checkpoint")
        data = trial.data
        self.settings = {
            "seed": trial.seed,
            "train_images": data.train_images,
            "retrain": trial.retrain.to_dict(),
            "torch": torch.__version__,
        }
        self.histories: dict[str, History] = {}
        if file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["settings"] != self.settings:
                raise SystemExit(f"'{file}' has other settings; name another file for --results")
            self.histories = content["cells"]

    def train(self, cell: str) -> None:
        """Train a cell, from its checkpoint if there is one, unless it is finished."""
        if len(self.histories.get(cell, [])) == self.trial.retrain.epochs:
            return
        retrain = Retrain(self.trial, Genotype.from_nasbench201(cell))
        with suppress(CheckpointError):  # missing, damaged or of the cell before: from scratch
            retrain.load(self.checkpoint)
        while not retrain.done:
            metrics = retrain.run_epoch()
            make_folder(self.checkpoint)
            retrain.save(self.checkpoint)
            self.histories[cell] = retrain.history
            content = {"settings": self.settings, "cells": self.histories}
            write_atomically(self.file, json.dumps(content, indent=1).encode())
            print(
                f"{cell} epoch {retrain.epoch}/{retrain.epochs}: test "
                f"{metrics['test_accuracy']:.2f} %, {metrics['seconds']:.0f} s",
                flush=True,
            )


def report(published: dict[str, float], results: Results, cells: list[str]) -> None:
    """Print the table of the finished cells in Markdown, and the correlations."""
    epochs = results.trial.retrain.epochs
    finished = [cell for cell in cells if len(results.histories.get(cell, [])) == epochs]
    truth = [published[cell] for cell in finished]
    measured = [results.histories[cell][-1]["test_accuracy"] for cell in finished]
    print("| published % | here % | parameters | cell |\n|---:|---:|---:|---|")
    for cell, one, other in zip(finished, truth, measured, strict=True):
        parameters = int(results.histories[cell][-1]["parameters"])
        name = cell.replace("|", r"\|")
        print(f"| {one:.2f} | {other:.2f} | {parameters:,} | `{name}` |")
    if len(finished) > 2:
        tau, rho = kendalltau(truth, measured), spearmanr(truth, measured)
        print(
            f"Kendall's τ {tau.statistic:.3f} (p = {tau.pvalue:.4f}), "
            f"Spearman's ρ {rho.statistic:.3f} (p = {rho.pvalue:.4f}), n = {len(finished)}"
        )


def main() -> None:
    """Train the cells that are not finished and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder with cifar-10-batches-py")
    parser.add_argument("--table", type=Path, required=True, help="nasbench201.csv.gz")
    parser.add_argument("--results", type=Path, required=True, help="JSON file, which is resumed")
    parser.add_argument("--cell", action="append", help="a cell; several times for several")
    parser.add_argument("--cells", type=int, default=12, help="number of cells without --cell")
    parser.add_argument("--images", type=int, default=5000, help="training images, a sample")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells-per-stage", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    published = published_accuracies(arguments.table)
    cells = arguments.cell or spread(published, arguments.cells)
    results = Results(arguments.results, reduced_trial(arguments))
    for cell in cells:
        results.train(cell)
    report(published, results, cells)


if __name__ == "__main__":
    main()
