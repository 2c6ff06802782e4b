"""Measure how many trials a race over seeds saves, and whether it makes the same choice.

    python benchmarks/racing.py --table TABLE

A sweep is imitated many times: each of 8 configurations is searched with one seed, the best 3 are
repeated with new seeds, either 10 seeds each (fixed) or in a race of 2 to 10 seeds. Two kinds of
results are drawn from the NAS-Bench-201 table (CIFAR-10):

- ``strategies``: black-box searches of 1,200 epochs (100 candidates of 12 epochs), simulated with
  200 seeds for each of 8 settings; the metric is the validation accuracy of the incumbent, and the
  truth its mean over the 200 seeds.
- ``cells``: 8 random cells of the better half. The metric is the validation accuracy after 200
  epochs: the mean of a cell's three runs, plus a deviation of one run from the mean of its cell,
  drawn among the 500 cells of the nearest accuracy and enlarged by √(3/2); the truth is the mean.

Printed for each rule: the mean number of repeats, those saved, how often the choice is that of the
fixed repeats, how often it is the truly best of the three, and the mean true value that is lost
to the best of the three. A threshold of 0.5 drops a configuration as soon as its mean is worse, as
the intensification of SMAC does; ``fixed`` with fewer seeds costs about as much as a race.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray

from tune_nas.benchmark import load_trainings
from tune_nas.candidates.simulation_runs import Simulation, run_simulations
from tune_nas.library import load_trial
from tune_nas.report.race import RaceRule, run_race

BEST, LEAST, MOST = 3, 2, 10
BUDGET = 1_200
SEEDS = 200
EVOLUTION = ((5, 2), (5, 5), (10, 5), (10, 10), (20, 5), (20, 20))
THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.5)

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[Values, Values]]
"""Return values of shape (configurations, 1 + MOST), and the true means."""


@dataclass
class Tally:
    """Sums over imitated sweeps."""

    repeats: int = 0
    same: int = 0
    right: int = 0
    lost: float = 0.0


def strategies(table: Path, processes: int) -> Draw:
    """Return a sampler of searches with the same seeds for each setting."""
    settings = {"strategy.budget": BUDGET}
    trials = [load_trial(name, settings) for name in ("random-search", "local-search")]
    for population, sample in EVOLUTION:
        own = {"strategy.evolution.population": population}
        own["strategy.evolution.sample_size"] = sample
        trials.append(load_trial("regularized-evolution", {**settings, **own}))
    searches = [
        Simulation(str(number), trial, "cifar10", 4, seed)
        for number, trial in enumerate(trials)
        for seed in range(SEEDS)
    ]
    values = np.full((len(trials), SEEDS), np.nan)
    with closing(run_simulations(searches, load_trainings(table), processes)) as running:
        for search, curve in running:
            values[int(search.label), search.seed] = curve.incumbents[-1][1].accuracy
    means = values.mean(axis=1)
    print(f"strategies: means {np.sort(means).round(2)}, sd {values.std(axis=1, ddof=1).round(2)}")

    def draw(rng: np.random.Generator) -> tuple[Values, Values]:
        return values[:, rng.choice(SEEDS, 1 + MOST, replace=False)], means

    return draw


def cells(table: Path) -> Draw:
    """Return a sampler of cells with noise from the table's runs."""
    with gzip.open(table, "rt", encoding="utf-8") as file:
        runs = [row["c10_valid_200_seeds"].split(";") for row in csv.DictReader(file)]
    three = np.array([[float(value) for value in own] for own in runs if len(own) == 3])
    three = three[np.argsort(three.mean(axis=1))][len(three) // 2 :]
    means = three.mean(axis=1)
    deviations = (three - means[:, None]) * np.sqrt(3 / 2)
    print(
        f"cells: {len(three)}, means {means[0]:.2f} to {means[-1]:.2f}, "
        f"median sd {np.median(three.std(axis=1, ddof=1)):.2f}"
    )

    def draw(rng: np.random.Generator) -> tuple[Values, Values]:
        chosen = rng.choice(len(three), 8, replace=False)
        noise = []
        for place in chosen:
            low = min(max(place - 250, 0), len(three) - 500)
            noise.append(rng.choice(deviations[low : low + 500].ravel(), 1 + MOST))
        return means[chosen, None] + np.array(noise), means[chosen]

    return draw


def imitate(draw: Draw, sweeps: int) -> dict[str, Tally]:
    """Return the tallies of each rule over imitated sweeps."""
    tallies: dict[str, Tally] = {}
    rng = np.random.default_rng(0)
    for _ in range(sweeps):
        values, means = draw(rng)
        best = np.argsort(-values[:, 0], kind="stable")[:BEST]
        repeats, truth = values[best, 1:], means[best]
        reference = int(repeats.mean(axis=1).argmax())
        choices = {
            f"fixed, {n} seeds": (int(repeats[:, :n].mean(axis=1).argmax()), BEST * n)
            for n in (10, 7, 6, 5, 4, 3, 2)
        }
        for threshold in THRESHOLDS:
            choices[f"race, threshold {threshold}"] = raced(repeats, threshold)
        for name, (choice, count) in choices.items():
            tally = tallies.setdefault(name, Tally())
            tally.repeats += count
            tally.same += choice == reference
            tally.right += choice == int(truth.argmax())
            tally.lost += float(truth.max() - truth[choice])
    return tallies


def raced(repeats: Values, threshold: float) -> tuple[int, int]:
    """Return the choice of a race, and its number of repeats."""
    rule = RaceRule(tuple(range(MOST)), LEAST, threshold=threshold)
    race = run_race(rule, {(n,): dict(enumerate(own)) for n, own in enumerate(repeats.tolist())})
    left = [n for n in range(len(repeats)) if (n,) not in race.dropped]
    means = {n: fmean(repeats[n, : race.rounds]) for n in left}
    return max(means, key=lambda n: means[n]), len(race.trials)


def main() -> None:
    """Print a table for each kind of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--sweeps", type=int, default=2_000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {
        "cells": cells(arguments.table),
        "strategies": strategies(arguments.table, arguments.processes),
    }
    for kind, draw in kinds.items():
        print(f"\n{kind}: {arguments.sweeps} sweeps\n")
        print("| rule | repeats | saved | same choice | best of the 3 | lost, points |")
        print("|---|---:|---:|---:|---:|---:|")
        for name, tally in imitate(draw, arguments.sweeps).items():
            n = arguments.sweeps
            mean = tally.repeats / n
            print(
                f"| {name} | {mean:.1f} | {100 - 100 * mean / (BEST * MOST):.0f} % | "
                f"{100 * tally.same / n:.1f} % | {100 * tally.right / n:.1f} % | "
                f"{tally.lost / n:.4f} |"
            )


if __name__ == "__main__":
    main()
