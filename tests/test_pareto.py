"""The Pareto front, against fronts worked out by hand."""

from __future__ import annotations

from tune_nas.pareto import pareto_front


def test_front_of_accuracy_and_size() -> None:
    points = [(90.0, 3.0), (92.0, 5.0), (91.0, 5.0), (89.0, 4.0), (92.0, 5.0), (93.0, 9.0)]
    assert pareto_front(points, ["max", "min"]) == [0, 1, 4, 5]


def test_front_of_one_objective_is_all_best_points() -> None:
    assert pareto_front([(1.0,), (0.0,), (0.0,)], ["min"]) == [1, 2]
    assert pareto_front([], ["max", "max"]) == []
