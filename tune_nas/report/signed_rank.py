"""Wilcoxon's signed-rank test for paired values, exact, and Holm's correction of several tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

_MOST_EXACT = 50


def signed_rank_p(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test.

    W⁺ is the sum of the ranks of |d| over the positive differences. Zeros are left out, and equal
    |d| have their mean rank. Under the hypothesis, each of the 2ⁿ assignments of signs is equally
    probable; p = min(1, 2 min(P(W⁺ ≤ w), P(W⁺ ≥ w))) is counted over all of them, with ties too.
    Above 50 differences, the normal approximation of SciPy is used.

    Args:
        differences: Finite differences between values of the same seed.

    Returns:
        1 if there is no difference.

    References:
        Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945.
    """
    own = np.asarray([each for each in differences if each != 0], dtype=float)
    if own.size == 0:
        return 1.0
    if own.size > _MOST_EXACT:
        return float(scipy.stats.wilcoxon(own, method="asymptotic").pvalue)
    doubled = np.rint(2 * _ranks(np.abs(own))).astype(int)  # mean ranks are multiples of 1/2
    chances = np.ones(1)
    for rank in doubled:
        longer = np.zeros(chances.size + rank)
        longer[: chances.size] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    found = int(doubled[own > 0].sum())
    tail = min(chances[: found + 1].sum(), chances[found:].sum())
    return float(min(1.0, 2 * tail))


def smallest_p(n: int) -> float:
    """Return the smallest p-value that n pairs can have: 2/2ⁿ, or 1 without a pair."""
    return min(1.0, 2.0 / 2.0**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for the number of tests, in the given order.

    The k-th smallest of m is multiplied by m − k + 1, and is at least as large as those before it
    and at most 1. The probability of any false rejection is then at most the level of the tests.

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def p_text(p: float) -> str:
    """Return a p-value with two significant digits: ``0.0039``, ``0.50``, ``1``."""
    if p >= 0.995:
        return "1"
    return f"{p:.2f}" if p >= 0.1 else f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 1; equal values have the mean of theirs."""
    ordered = np.sort(values)
    first = np.searchsorted(ordered, values, side="left")
    last = np.searchsorted(ordered, values, side="right")
    ranks: NDArray[np.float64] = (first + 1 + last) / 2
    return ranks
