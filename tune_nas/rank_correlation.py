"""Kendall's τ-b: whether two rankings of the same things agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Kendall's τ-b, from −1 (reversed) to 1 (the same order).

    τ-b = (C − D) / √((n₀ − n₁)(n₀ − n₂)), with C and D the numbers of pairs in the same and in
    reversed order, n₀ = n(n − 1)/2 pairs, of which n₁ and n₂ are tied in the first and in the
    second sequence (Kendall, The treatment of ties in ranking problems, Biometrika 33, 1945).

    Args:
        first: A finite value for each thing.
        second: Likewise, in the same order.

    Returns:
        None if it is not defined: with fewer than two things, or if all values of a sequence are
        equal.
    """
    balance = untied_first = untied_second = 0
    for (x1, y1), (x2, y2) in itertools.combinations(zip(first, second, strict=True), 2):
        by_first, by_second = _sign(x1 - x2), _sign(y1 - y2)
        balance += by_first * by_second
        untied_first += by_first != 0
        untied_second += by_second != 0
    if not untied_first or not untied_second:
        return None
    return balance / math.sqrt(untied_first * untied_second)


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)
