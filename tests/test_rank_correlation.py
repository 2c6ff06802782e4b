"""Kendall's τ-b against numbers worked out by hand, and against SciPy's."""

from __future__ import annotations

import math
import random

import pytest

from tune_nas.rank_correlation import kendall_tau


@pytest.mark.parametrize(
    ("first", "second", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        # Of 6 pairs, (1, 2) and (3, 4) are reversed: (4 − 2) / 6.
        ([1, 2, 3, 4], [2, 1, 4, 3], 1 / 3),
        # One pair is tied in the first and none in the second: 5 / √(5 · 6).
        ([1, 1, 2, 3], [1, 2, 3, 4], 5 / math.sqrt(30)),
        # The tied pairs differ: 4 alike and none reversed of 5 untied in each: 4 / 5.
        ([1, 1, 2, 3], [1, 2, 3, 3], 4 / 5),
        ([2, 1], [1, 2], -1.0),
    ],
)
def test_by_hand(first: list[float], second: list[float], tau: float) -> None:
    assert kendall_tau(first, second) == pytest.approx(tau, abs=1e-15)
    assert kendall_tau(second, first) == pytest.approx(tau, abs=1e-15)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1], [2]), ([1, 1], [1, 2])])
def test_it_is_not_defined_without_an_order(first: list[float], second: list[float]) -> None:
    assert kendall_tau(first, second) is None


def test_it_is_scipys() -> None:
    kendalltau = pytest.importorskip("scipy.stats").kendalltau
    sampler = random.Random(0)
    defined = 0
    for _ in range(100):
        n = sampler.randint(2, 9)
        first, second = ([sampler.randint(0, 4) for _ in range(n)] for _ in range(2))
        found, expected = kendall_tau(first, second), kendalltau(first, second).statistic
        if found is None:
            assert math.isnan(expected)
        else:
            defined += 1
            assert found == pytest.approx(expected, abs=1e-12)
    assert defined > 50
