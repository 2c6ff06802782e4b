"""How well a predictor trained on 100 cells of NAS-Bench-201 orders 1,000 others.

Kendall's τ-b between the scores and the test accuracies on CIFAR-10 after 200 epochs: mean, lowest
and highest of the seeds, each with other cells. The pool has the validation accuracies of the
12-epoch runs (``12``), or also those after 200 epochs for its better half (``12, 200``), as after
halving. Seconds are CPU time of a fit. The last line is the τ of the 12-epoch accuracies of the
1,000 cells themselves.

    python benchmarks/predictor.py TABLE

TABLE is a CSV file (.gz) with the columns arch, c10_valid_12, c10_valid_200, c10_test_200.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import statistics
import time
from collections.abc import Mapping, Sequence

import torch
from rich.console import Console
from rich.table import Table

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.predictor import Observation, Predictor
from tune_nas.rank_correlation import kendall_tau
from tune_nas.spaces import Genotype, load_space

Row = Mapping[str, str]
SETTINGS = [(encoder, loss) for encoder in ("gin", "mlp") for loss in ("ranking", "regression")]


def observed(rows: Sequence[Row], halving: bool) -> list[Observation]:
    """Return the pool; with halving, the better half has a second level."""
    order = sorted(range(len(rows)), key=lambda place: -float(rows[place]["c10_valid_12"]))
    longer = set(order[: len(rows) // 2]) if halving else set()
    return [
        Observation(
            Genotype.from_nasbench201(row["arch"]),
            2 if place in longer else 1,
            float(row["c10_valid_200" if place in longer else "c10_valid_12"]),
        )
        for place, row in enumerate(rows)
    ]


def tau(first: Sequence[float], rows: Sequence[Row]) -> float:
    """Return Kendall's τ-b of values and the test accuracies of cells."""
    found = kendall_tau(first, [float(row["c10_test_200"]) for row in rows])
    return 0.0 if found is None else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with gzip.open(arguments.table, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    samples = [random.Random(seed).sample(rows, 1100) for seed in range(arguments.seeds)]
    space, table = load_space("nasbench201"), Table("levels", "encoder", "loss", "τ", "seconds")
    for halving in (False, True):
        for encoder, loss in SETTINGS:
            taus, seconds = [], []
            for seed, sample in enumerate(samples):
                config = PredictorConfig(encoder=encoder, loss=loss)
                predictor, pool = Predictor(space, config, seed), observed(sample[:100], halving)
                start = time.process_time()
                predictor.fit(pool)
                seconds.append(time.process_time() - start)
                others = [Genotype.from_nasbench201(row["arch"]) for row in sample[100:]]
                taus.append(tau(predictor.score(others).tolist(), sample[100:]))
            text = f"{statistics.mean(taus):.2f} ({min(taus):.2f} to {max(taus):.2f})"
            levels = "12, 200" if halving else "12"
            table.add_row(levels, encoder, loss, text, f"{statistics.median(seconds):.2f}")
    own = [
        tau([float(row["c10_valid_12"]) for row in sample[100:]], sample[100:])
        for sample in samples
    ]
    table.add_row("", "", "", f"{statistics.mean(own):.2f} ({min(own):.2f} to {max(own):.2f})", "")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
