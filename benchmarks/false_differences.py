"""Measure how often a report shows a difference between equal configurations.

    python benchmarks/false_differences.py

The values of k configurations with 10 common seeds are samples of one normal distribution. The best
one is compared with the others by Wilcoxon's test at 5 %, with Holm's correction over these k − 1
tests, or over all pairs of configurations, as in the reports.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from tune_nas.report.signed_rank import holm, signed_rank_p

SEEDS = 10
SAMPLES = 4_000


def false_differences(k: int) -> tuple[float, float]:
    """Return the shares of samples with a difference: over k − 1 tests, and over all pairs."""
    rng = np.random.default_rng(k)
    few = every = 0
    for _ in range(SAMPLES):
        values = rng.normal(size=(k, SEEDS))
        best = int(values.mean(axis=1).argmax())
        pairs = list(itertools.combinations(range(k), 2))
        p = [signed_rank_p((values[one] - values[two]).tolist()) for one, two in pairs]
        own = [number for number, pair in enumerate(pairs) if best in pair]
        few += min(holm([p[number] for number in own])) <= 0.05
        corrected = holm(p)
        every += min(corrected[number] for number in own) <= 0.05
    return few / SAMPLES, every / SAMPLES


def main() -> None:
    """Print a table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print("| configurations | k − 1 tests | all pairs |")
    print("|---:|---:|---:|")
    for k in (2, 3, 4, 6):
        few, every = false_differences(k)
        print(f"| {k} | {100 * few:.1f} % | {100 * every:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
