"""The probability that a value of one sample is better than one of another, and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import scipy

from tune_nas.report.bootstrap import LEVEL


def probability_of_improvement(
    values: Sequence[float], others: Sequence[float], mode: str = "max"
) -> float:
    """Return the share of pairs in which the value is better than the other; ties count half.

    For samples x of size m and y of size n, and the best being the largest:
    θ̂ = (#{xᵢ > yⱼ} + ½ #{xᵢ = yⱼ}) / (m n), the statistic U of Mann and Whitney over m n.

    Args:
        values: Values of different seeds.
        others: Values of different seeds of another configuration; not the same runs.
        mode: Whether the largest (``max``) or the smallest (``min``) value is better.

    References:
        Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice,
        NeurIPS 2021, Sect. 4.3.
    """
    sign = 1 if mode == "max" else -1
    won = sum(
        (sign * (one - other) > 0) + 0.5 * (one == other) for one in values for other in others
    )
    return won / (len(values) * len(others))


def improvement_interval(probability: float, m: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a probability of improvement.

    The bounds θ solve (θ̂ − θ)² = z² V(θ), with the variance that Hanley and McNeil derived for
    exponential distributions, for samples of (m + n) / 2 values each (N = (m + n) / 2 − 1):
    V(θ) = θ (1 − θ) [1 + N ((1 − θ) / (2 − θ) + θ / (1 + θ))] / (m n). Unlike a bootstrap, it is
    not empty if all values are better.

    Args:
        probability: θ̂, from `probability_of_improvement`.
        m: Number of values.
        n: Number of the others.

    References:
        Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney
        statistic, part 2, Statistics in Medicine 25, 2006, method 5.
    """
    return _lower(probability, m, n), 1 - _lower(1 - probability, n, m)


def _lower(probability: float, m: int, n: int) -> float:
    if probability == 0:
        return 0.0
    z, more = NormalDist().inv_cdf((1 + LEVEL) / 2), (m + n) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return probability - theta - z * math.sqrt(theta * (1 - theta) * spread / (m * n))

    # Just below θ̂, where the excess is negative: at θ̂ = 1, it has a second root.
    return float(scipy.optimize.brentq(excess, 0, probability * (1 - 1e-12)))
