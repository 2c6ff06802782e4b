"""Bootstrap over seeds: the interval of a mean, and how often each row is best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 9_999

COVERAGE = {2: 50, 3: 72, 4: 79, 5: 85, 6: 86, 8: 88, 10: 90, 20: 92}
"""How often, in %, the interval contains the mean of a normal distribution, by the number of
values; measured by ``benchmarks/interval_coverage.py``."""


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean: the BCa bootstrap, with a fixed seed.

    With few values it is too narrow; see `COVERAGE`. With 2 it is their range.

    Args:
        values: Finite values of different seeds.

    Returns:
        None for fewer than 2 values.

    References:
        Efron, Better bootstrap confidence intervals, JASA 82, 1987; `scipy.stats.bootstrap`.
    """
    if len(values) < 2:
        return None
    if len(values) == 2 or len(set(values)) == 1:
        return min(values), max(values)  # what BCa gives for 2; it is not defined for equal values
    found = scipy.stats.bootstrap(
        (np.asarray(values, dtype=float),),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    low, high = found.confidence_interval
    return float(low), float(high)


def coverage(n: int) -> int | None:
    """Return the measured coverage of the interval of n values in %; None above 20 values."""
    known = [percent for least, percent in COVERAGE.items() if least <= n]
    return known[-1] if known and n <= max(COVERAGE) else None


def first_shares(values: NDArray[np.float64], *, mode: str) -> NDArray[np.float64]:
    """Return how often each row has the best mean if the seeds are resampled.

    All rows have the same seeds in a resample, so what a seed does to all of them cancels out. Rows
    with the same mean share the first place.

    Args:
        values: Values of shape ``(rows, seeds)``.
        mode: Whether the largest (``max``) or the smallest (``min``) mean is best.

    Returns:
        Shares of shape ``(rows,)``, with the sum 1.
    """
    n_seeds = values.shape[1]
    equal = np.full(n_seeds, 1 / n_seeds)
    counts = np.random.default_rng(0).multinomial(n_seeds, equal, size=RESAMPLES)
    sums = counts @ values.T * (1 if mode == "max" else -1)
    top = sums.max(axis=1, keepdims=True)
    first = np.isclose(sums, top, rtol=1e-12, atol=0)  # sums of equal values, in another order
    shares: NDArray[np.float64] = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares
