"""The Pareto front, the ranks behind it and its hypervolume, against values worked out by hand."""

from __future__ import annotations

import itertools
import random
from typing import Literal

import pytest

from tune_nas.pareto import domination_ranks, hypervolume, pareto_front

Mode = Literal["max", "min"]


def test_front_of_accuracy_and_size() -> None:
    points = [(90.0, 3.0), (92.0, 5.0), (91.0, 5.0), (89.0, 4.0), (92.0, 5.0), (93.0, 9.0)]
    assert pareto_front(points, ["max", "min"]) == [0, 1, 4, 5]


def test_front_of_one_objective_is_all_best_points() -> None:
    assert pareto_front([(1.0,), (0.0,), (0.0,)], ["min"]) == [1, 2]
    assert pareto_front([], ["max", "max"]) == []


def test_ranks_of_accuracy_and_size() -> None:
    points = [(90.0, 3.0), (92.0, 5.0), (91.0, 5.0), (89.0, 4.0), (92.0, 5.0), (88.0, 4.0)]
    # Without the front, (91, 5) and (89, 4) are not dominated; (88, 4) is, by (89, 4).
    assert domination_ranks(points, ["max", "min"]) == [0, 0, 1, 1, 0, 2]
    assert domination_ranks([(2.0,), (1.0,), (2.0,), (0.0,)], ["max"]) == [0, 1, 0, 2]
    assert domination_ranks([], ["max", "min"]) == []


def test_a_front_equals_comparing_all_pairs() -> None:
    generator = random.Random(0)
    modes: list[Mode] = ["max", "min", "max"]
    points = [tuple(generator.randrange(20) for _ in modes) for _ in range(60)]

    def dominates(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        gains = (one[0] - other[0], other[1] - one[1], one[2] - other[2])
        return min(gains) >= 0 and max(gains) > 0

    expected = [
        number for number, own in enumerate(points) if not any(dominates(o, own) for o in points)
    ]
    assert pareto_front(points, modes) == expected and 3 < len(expected) < 60


def test_hypervolume_in_two_dimensions_by_hand() -> None:
    # Boxes from (0, 10): 2 × 7 and 4 × 4 overlap in 2 × 4.
    points = [(2.0, 3.0), (4.0, 6.0)]
    assert hypervolume(points, ["max", "min"], (0.0, 10.0)) == 14 + 16 - 8
    # a dominated point, one that equals the reference in an objective, and one that is worse
    more = [*points, (1.0, 6.0), (0.0, 1.0), (9.0, 11.0)]
    assert hypervolume(more, ["max", "min"], (0.0, 10.0)) == 22
    assert hypervolume([], ["max", "min"], (0.0, 10.0)) == 0
    assert hypervolume([(3.0,), (5.0,)], ["max"], (1.0,)) == 4


def test_hypervolume_in_three_dimensions_by_hand() -> None:
    # Boxes from the origin with the corners (1, 2, 3), (2, 1, 3) and (3, 3, 1):
    # 6 + 6 + 9, less the pairs 1·1·3, 1·2·1 and 2·1·1, plus the three 1·1·1.
    corners = [(1.0, 2.0, 3.0), (2.0, 1.0, 3.0), (3.0, 3.0, 1.0)]
    assert hypervolume(corners, ["max"] * 3, (0.0, 0.0, 0.0)) == 21 - 3 - 2 - 2 + 1
    mirrored = [(-x, y, 10 - z) for x, y, z in corners]
    assert hypervolume(mirrored, ["min", "max", "min"], (0.0, 0.0, 10.0)) == 15


@pytest.mark.parametrize("k", [2, 3, 4])
def test_hypervolume_equals_inclusion_and_exclusion(k: int) -> None:
    generator = random.Random(k)
    points = [tuple(generator.uniform(-1, 9) for _ in range(k)) for _ in range(9)]
    expected = 0.0
    for n in range(1, 10):
        for some in itertools.combinations(points, n):
            volume = 1.0
            for values in zip(*some, strict=True):
                volume *= max(0.0, min(values))
            expected += (-1) ** (n + 1) * volume
    found = hypervolume(points, ["max"] * k, [0.0] * k)
    assert found == pytest.approx(expected, rel=1e-12) and found > 0
