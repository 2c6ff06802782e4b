"""Measure how many cells random search needs until one reaches a test accuracy, and compute it.

    python benchmarks/cells_until_accuracy.py --table TABLE

In the benchmark's table, n of N cells reach the accuracy. Sampled without repetition, the first of
them is on average the (N + 1) / (n + 1)-th cell. The strategy ``random`` leaves out cells that
compute the same as an earlier one. Of each such class, it trains the cell that is sampled first, so
that the class counts with probability p, the share of its cells that reach the accuracy, and is
sampled in the order of exponential times with the rate w, its number of cells. The expected number
of trainings is therefore

    1 + Σ_c (1 − p_c) ∫ w_c exp(−w_c t) Π_{d ≠ c} (1 − p_d (1 − exp(−w_d t))) dt.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from tune_nas.benchmark import TrainingTable, load_trainings
from tune_nas.candidates.simulation import simulate
from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.spaces import Genotype, load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import Request, StrategyInputs
from tune_nas.strategies.random_search import RandomSearch

DATA = "cifar10"


class EachCell(Architectures):
    """Tells cells apart by their operations, also those that compute the same."""

    def key(self, genotype: Genotype) -> str:
        """Return the cell."""
        return str(genotype)


def expected_classes(table: TrainingTable, space: Architectures, accuracy: float) -> float:
    """Return the expected number of trainings without cells that compute the same."""
    members: dict[str, list[bool]] = defaultdict(list)
    for cell in table.rows:
        members[space.key(Genotype.parse(cell))].append(table.test(cell, DATA) >= accuracy)
    size = np.array([len(each) for each in members.values()], dtype=float)
    share = np.array([sum(each) / len(each) for each in members.values()])
    t = np.linspace(0, 1, 200_001)[1:] ** 3 * 3  # times; the classes that reach it come early
    t = np.concatenate([[0], t])
    rates, counts = np.unique(size[share < 1], return_counts=True)
    total = np.zeros_like(t)
    good = share > 0
    log_none = sum(  # no class that reaches the accuracy has been sampled by then
        np.log1p(-p * -np.expm1(-w * t)) for p, w in zip(share[good], size[good], strict=True)
    )
    for rate in rates:
        for p in np.unique(share[(size == rate) & (share < 1)]):
            count = int(np.sum((size == rate) & (share == p)))
            own = np.log1p(-p * -np.expm1(-rate * t))
            total += count * (1 - p) * rate * np.exp(-rate * t + log_none - own)
    assert counts.sum() > 0
    return 1 + float(np.trapezoid(total, t))


class UntilReached(RandomSearch):
    """Random search that ends with the first cell that reaches a test accuracy."""

    def __init__(self, inputs: StrategyInputs, table: TrainingTable, wanted: float) -> None:
        super().__init__(inputs)
        self._table, self._wanted, self._reached = table, wanted, False

    def propose(self) -> Request | None:
        """Return the job of a new sample; None after the last."""
        return None if self._reached else super().propose()

    def observe(self, request: Request, accuracy: float) -> None:
        """Note whether the cell reaches the accuracy."""
        self._reached |= self._table.test(str(request.genotype), DATA) >= self._wanted


def main() -> int:
    """Print both means and expectations; status 1 if they differ by three standard errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--accuracy", type=float, default=94.0, help="CIFAR-10 test accuracy in %%")
    parser.add_argument("--seeds", type=int, default=200)
    arguments = parser.parse_args()
    table, space = load_trainings(arguments.table), load_space("nasbench201")
    reach = sum(table.test(cell, DATA) >= arguments.accuracy for cell in table.rows)
    total = len(table.rows)
    print(f"{reach} of {total:,} cells reach {arguments.accuracy} %")
    merged = Architectures(space)
    exact = {
        "every cell": (EachCell(space), (total + 1) / (reach + 1)),
        "cells that compute the same once": (
            merged,
            expected_classes(table, merged, arguments.accuracy),
        ),
    }
    wrong = False
    config = StrategyConfig(kind="random", levels=(12,), budget=12 * 8000)
    for name, (architectures, expected) in exact.items():
        found = [
            len(simulate(UntilReached(inputs, table, arguments.accuracy), table, DATA).jobs)
            for seed in range(arguments.seeds)
            for inputs in [StrategyInputs(architectures, config, seed)]
        ]
        mean, error = statistics.fmean(found), statistics.stdev(found) / math.sqrt(len(found))
        wrong |= abs(mean - expected) > 3 * error
        print(f"{name}: {mean:.0f} ± {error:.0f} (n = {len(found)}); expected {expected:.1f}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
