"""Measure how often the 95 % interval of the reports contains the mean of a normal distribution.

    python benchmarks/interval_coverage.py

For each number of values n, 4,000 samples of a normal distribution. The interval of Student's t,
which is exact for normal data, is printed beside it. `tune_nas.report.bootstrap.COVERAGE` has the
shares that this prints.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy import stats

from tune_nas.report.bootstrap import COVERAGE, bootstrap_interval

SAMPLES = 4_000


def covered(n: int, samples: int = SAMPLES) -> tuple[float, float]:
    """Return the shares of samples of n values whose intervals contain 0: bootstrap and t."""
    values = np.random.default_rng(n).normal(size=(samples, n))
    intervals = [bootstrap_interval(sample.tolist()) for sample in values]
    bootstrap = sum(each is not None and each[0] <= 0 <= each[1] for each in intervals)
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / math.sqrt(n)
    return bootstrap / samples, float((np.abs(values.mean(axis=1)) <= half).mean())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    print("| n | bootstrap (BCa) | Student's t |")
    print("|---:|---:|---:|")
    for n in COVERAGE:
        bootstrap, exact = covered(n)
        print(f"| {n} | {100 * bootstrap:.1f} % | {100 * exact:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
