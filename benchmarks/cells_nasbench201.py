"""Trainings of NAS-Bench-201 cells at a reduced size, compared with the table's 12-epoch results.

Trains cells by the recipe ``nasbench201`` on CIFAR-10, reduced by the options, and prints
Kendall's τ and Spearman's ρ between their test accuracies and those of the benchmark's 12-epoch
runs. Without ``--cell``, the cells are spread over the table: of all cells in the order of their
12-epoch test accuracy (equal ones in the order of the table), those in the middle of n equal parts,
i.e. at the quantiles (k + 1/2) / n.

The results file contains every finished cell; an interrupted run resumes after the last one.

    python benchmarks/cells_nasbench201.py --data-dir CIFAR --table TABLE --results cells.json
    python benchmarks/cells_nasbench201.py --data-dir CIFAR --table TABLE --results resnet.json \
        --channels 16 --cells-per-stage 5 --batch-size 256 --images 3000 --epochs 12 \
        --cell '|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|'
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from pathlib import Path

import torch
from scipy.stats import kendalltau, spearmanr

from tune_nas.config import TrialConfig
from tune_nas.files import write_atomically
from tune_nas.library import load_trial
from tune_nas.retrain import Retrain
from tune_nas.seeds import derive_seed
from tune_nas.spaces import Genotype, count_parameters
from tune_nas.training import evaluate

Cell = dict[str, float]
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
            "data.resolution": arguments.resolution,
            "retrain.recipe": "nasbench201",
            "retrain.epochs": arguments.epochs,
            "retrain.init_channels": arguments.channels,
            "retrain.cells": arguments.cells_per_stage,
            "retrain.batch_size": arguments.batch_size,
            "seed": arguments.seed,
        },
    )


class Results:
    """The finished trainings, in a JSON file.

    Args:
        file: The file.
        trial: The trial of all trainings.
    """

    def __init__(self, file: Path, trial: TrialConfig) -> None:
        self.file, self.trial = file, trial
        self.settings = {
            "seed": trial.seed,
            "train_images": trial.data.train_images,
            "resolution": trial.data.resolution,
            "retrain": trial.retrain.to_dict(),
            "torch": torch.__version__,
        }
        self.cells: dict[str, Cell] = {}
        if file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["settings"] != self.settings:
                raise SystemExit(f"'{file}' has other settings; name another file for --results")
            self.cells = content["cells"]

    def train(self, cell: str) -> None:
        """Train a cell and write the file, unless it contains the cell already."""
        if cell in self.cells:
            return
        start = time.process_time()
        retrain = Retrain(self.trial, Genotype.from_nasbench201(cell))
        recipe = self.trial.retrain
        # not Retrain.run_epoch: its pass over all test images costs half of so short an epoch
        batches = retrain.data.train_stream(
            recipe.batch_size,
            derive_seed(self.trial.seed, "retrain batches"),
            recipe.augment,
            "retrain.augment",
        )
        for epoch in range(recipe.epochs):
            retrain.training.set_epoch(epoch)
            train = retrain.training.run_epoch(batches, retrain.device, None)
            print(f"{cell} epoch {epoch + 1}: train {train.accuracy:.2f} %", flush=True)
        retrain.network.eval()
        test = retrain.data.test_batches(recipe.batch_size)
        _, accuracy = evaluate(retrain.network, test, retrain.device)
        self.cells[cell] = {
            "test_accuracy": accuracy,
            "train_accuracy": train.accuracy,
            "parameters": count_parameters(retrain.network),
            "cpu_seconds": round(time.process_time() - start),
        }
        content = {"settings": self.settings, "cells": self.cells}
        write_atomically(self.file, json.dumps(content, indent=1).encode())


def report(published: dict[str, float], finished: dict[str, Cell], cells: list[str]) -> None:
    """Print the table of the cells in Markdown, and the correlations."""
    truth = [published[cell] for cell in cells]
    measured = [finished[cell]["test_accuracy"] for cell in cells]
    print("| table % | here % | train % | parameters | cell |\n|---:|---:|---:|---:|---|")
    for cell, accuracy in zip(cells, truth, strict=True):
        own, name = finished[cell], cell.replace("|", r"\|")
        figures = [accuracy, own["test_accuracy"], own["train_accuracy"]]
        text = " | ".join(f"{each:.2f}" for each in figures)
        print(f"| {text} | {own['parameters']:,.0f} | `{name}` |")
    print(f"{sum(finished[cell]['cpu_seconds'] for cell in cells):,.0f} CPU seconds")
    if len(cells) > 2:
        tau, rho = kendalltau(truth, measured), spearmanr(truth, measured)
        print(
            f"Kendall's τ {tau.statistic:.3f} (p = {tau.pvalue:.4f}), "
            f"Spearman's ρ {rho.statistic:.3f} (p = {rho.pvalue:.4f}), n = {len(cells)}"
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
    parser.add_argument("--resolution", type=int, default=16, help="side of an image, in pixels")
    parser.add_argument("--epochs", type=int, default=8)
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
    report(published, results.cells, cells)


if __name__ == "__main__":
    main()
