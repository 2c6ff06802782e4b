"""Measure how often the 95 % intervals of the reports contain the true value, for normal data.

    python benchmarks/interval_coverage.py

The interval of a mean, for each number of values n, in 4,000 samples of a normal distribution.
The interval of Student's t, which is exact for normal data, is printed beside it.
`tune_nas.report.bootstrap.COVERAGE` has the shares that this prints.

The interval of a probability of improvement θ, in 4,000 pairs of samples of n values with the
standard deviations 1 and s, one of them shifted such that θ = Φ(shift / √(1 + s²)).
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy import stats

from tune_nas.report.bootstrap import COVERAGE, bootstrap_interval
from tune_nas.report.improvement import improvement_interval, probability_of_improvement

SAMPLES = 4_000
CASES = ((0.5, 1), (0.8, 1), (0.95, 1), (0.99, 1), (0.5, 10), (0.8, 10), (0.95, 10))


def covered(n: int, samples: int = SAMPLES) -> tuple[float, float]:
    """Return the shares of samples of n values whose intervals contain 0: bootstrap and t."""
    values = np.random.default_rng(n).normal(size=(samples, n))
    intervals = [bootstrap_interval(sample.tolist()) for sample in values]
    bootstrap = sum(each is not None and each[0] <= 0 <= each[1] for each in intervals)
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / math.sqrt(n)
    return bootstrap / samples, float((np.abs(values.mean(axis=1)) <= half).mean())


def covered_improvement(n: int, theta: float, spread: float, samples: int = SAMPLES) -> float:
    """Return the share of pairs of samples of n values whose interval contains θ."""
    generator = np.random.default_rng(n)
    shift = math.sqrt(1 + spread**2) * stats.norm.ppf(theta)
    values = generator.normal(shift, size=(samples, n)).tolist()
    others = generator.normal(scale=spread, size=(samples, n)).tolist()
    found = 0
    for one, other in zip(values, others, strict=True):
        low, high = improvement_interval(probability_of_improvement(one, other), n, n)
        found += low <= theta <= high
    return found / samples


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    print("| n | bootstrap (BCa) | Student's t |")
    print("|---:|---:|---:|")
    for n in COVERAGE:
        bootstrap, exact = covered(n)
        print(f"| {n} | {100 * bootstrap:.1f} % | {100 * exact:.1f} % |", flush=True)
    print("\n| n | " + " | ".join(f"θ = {theta}, s = {s}" for theta, s in CASES) + " |")
    print("|---:" * (1 + len(CASES)) + "|")
    for n in (3, 5, 10, 20):
        shares = [f"{100 * covered_improvement(n, theta, s):.1f} %" for theta, s in CASES]
        print(f"| {n} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
