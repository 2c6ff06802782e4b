"""The comparison with a baseline: probabilities by enumeration, their intervals, and the texts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from tune_nas.report import Report, TrialResult
from tune_nas.report.baseline import compare_with_baseline
from tune_nas.report.baseline_text import baseline_lines, baseline_table
from tune_nas.report.improvement import improvement_interval, probability_of_improvement
from tune_nas.report.labels import RETRAIN

Make = Callable[..., TrialResult]
AXES = ["update.lambda"]


def report_of(
    make: Make,
    values: Mapping[object, Sequence[float]],
    baseline: Mapping[str, object] | None,
    mode: str = "max",
) -> Report:
    results = [
        make(value, accuracy, seed=seed)
        for value, accuracies in values.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    return Report("s", AXES, results, "valid_accuracy", mode, baseline=baseline)


def test_the_probability_by_hand() -> None:
    # 3 > 1, 3 > 2, 2 > 1 and 2 = 2: three and a half of four pairs.
    assert probability_of_improvement([3, 2], [1, 2]) == 3.5 / 4
    assert probability_of_improvement([3, 2], [1, 2], "min") == 0.5 / 4
    assert probability_of_improvement([1.5], [1, 2, 3]) == pytest.approx(1 / 3)


def test_the_probability_is_the_statistic_of_mann_and_whitney() -> None:
    generator = np.random.default_rng(0)
    for m, n in ((3, 5), (7, 4), (10, 10)):
        one, other = generator.integers(0, 6, m).tolist(), generator.integers(0, 6, n).tolist()
        u = stats.mannwhitneyu(one, other).statistic
        assert probability_of_improvement(one, other) == pytest.approx(u / (m * n), rel=1e-12)


def test_the_variance_of_hanley_and_mcneil() -> None:
    # Radiology 143, 1982: an area of 0.893 with 51 abnormal and 58 normal images has the standard
    # error 0.032; the bounds of large samples are near ± 1.96 standard errors.
    low, high = improvement_interval(0.893, 51, 58)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.032, abs=0.001)
    assert low < 0.893 - 1.5 * 0.032 and high > 0.893 + 1.2 * 0.032


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 2), (3, 5), (5, 3), (20, 20)])
@pytest.mark.parametrize("theta", [0.0, 0.02, 0.5, 0.7, 0.98, 1.0])
def test_the_bounds_solve_the_equation_of_newcombe(theta: float, m: int, n: int) -> None:
    z = NormalDist().inv_cdf(0.975)
    low, high = improvement_interval(theta, m, n)
    assert 0 <= low <= theta <= high <= 1
    more = (m + n) / 2 - 1
    for bound in (low, high):
        spread = 1 + more * ((1 - bound) / (2 - bound) + bound / (1 + bound))
        variance = bound * (1 - bound) * spread / (m * n)
        assert (theta - bound) ** 2 == pytest.approx(z**2 * variance, rel=1e-6, abs=1e-12)
    # In the other direction, with the samples exchanged, it is the same interval.
    assert improvement_interval(1 - theta, n, m) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    if theta == 1:
        assert 0 < low < 1 and high == 1


def test_the_interval_contains_the_truth() -> None:
    generator, theta, found = np.random.default_rng(0), 0.8, 0
    shift = math.sqrt(2) * NormalDist().inv_cdf(theta)
    for _ in range(1_000):
        one, other = generator.normal(shift, size=5), generator.normal(size=5)
        low, high = improvement_interval(probability_of_improvement(one, other), 5, 5)
        found += low <= theta <= high
    assert 930 <= found <= 990  # 966 of 1,000 are expected (docs/results.md)


def test_rows_are_compared_with_the_baseline(make_result: Make) -> None:
    values = {0.1: [70, 71, 72], 1: [80, 81, 82], 10: [71, 70, 73]}
    report = report_of(make_result, values, {"update.lambda": "1e-1"})  # as YAML reads it
    found = compare_with_baseline(report)
    assert found is not None
    assert found.baseline.values == {"update.lambda": 0.1}
    best, other = found.rows
    assert (best.row.values["update.lambda"], best.difference, best.probability) == (1, 10, 1)
    assert best.interval == improvement_interval(1.0, 3, 3)
    # 71 > 70, = 71; 70 = 70; 73 > all: 1.5 + 0.5 + 3 of 9.
    assert (other.difference, other.probability) == (pytest.approx(1 / 3), 5 / 9)

    table = baseline_table(report)
    assert table is not None
    assert table.header[-3:] == ["this − baseline", "P(improvement)", "95 % interval"]
    assert table.lines[0] == ["1", "3", "81.00 ± 1.00", "+10.00", "1.00", "[0.501, 1.000]"]
    first = baseline_lines(report)[0]
    assert first == (
        "baseline: λ = 0.1 (supernet valid accuracy 71.00 ± 1.00 %, n = 3); better than it, by "
        "the intervals: λ = 1; worse: none"
    )
    assert "## Compared with the baseline" in report.markdown()
    assert first in report.lines()
    document = json.loads(json.dumps(report.to_dict()))["baseline"]
    assert document["values"] == {"update.lambda": 0.1}
    assert [row["probability"] for row in document["rows"]] == [1, 5 / 9]


def test_lower_is_better_with_mode_min(make_result: Make) -> None:
    values = {0: [5.0] * 5, 1: [1.0, 2, 3, 4, 4.5], 2: [6.0, 7, 8, 9, 10]}
    report = report_of(make_result, values, {"update.lambda": 0}, "min")
    found = compare_with_baseline(report)
    assert found is not None
    assert [own.probability for own in found.rows] == [1, 0]


def test_a_baseline_without_a_value_says_why(make_result: Make) -> None:
    zero = {"update.lambda": 0}
    missing = report_of(make_result, {1: [80]}, zero)
    assert compare_with_baseline(missing) is None and baseline_table(missing) is None
    assert baseline_lines(missing) == ["the baseline, λ = 0, has no trial that has ended"]

    diverged = report_of(make_result, {0: [70, math.nan], 1: [80, 81]}, zero)
    assert baseline_lines(diverged) == ["the baseline, λ = 0, has a diverged seed"]

    results = [make_result(0, 70), make_result(1, 80), make_result(1, 81, phase="repeat", seed=1)]
    once = Report("s", AXES, results, "valid_accuracy", baseline=zero)
    assert baseline_lines(once) == [
        "the baseline, λ = 0, was not repeated over seeds, as others were"
    ]

    failed = Report("s", AXES, [make_result(0, status="failed")], "valid_accuracy", baseline=zero)
    assert "has no supernet valid accuracy, or" in baseline_lines(failed)[0]

    alone = report_of(make_result, {0: [70]}, zero)
    assert baseline_lines(alone) == ["nothing can be compared with the baseline, λ = 0"]
    assert baseline_lines(report_of(make_result, {0: [70]}, None)) == []


def test_rows_that_cannot_be_compared_are_named(make_result: Make) -> None:
    values = {0: [70, 71], 1: [80, math.nan], 2: [60, 61]}
    report = report_of(make_result, values, {"update.lambda": 0})
    assert baseline_lines(report)[1] == (
        "not compared with the baseline, since a seed diverged or they were dropped from a race: "
        "λ = 1"
    )


def test_retraining_runs_are_not_called_searches(make_result: Make) -> None:
    results = [
        make_result(value, None, seed=seed, phase="retrain", metrics={"test_accuracy": accuracy})
        for value, accuracies in {0: [90.0, 91.0], 1: [92.0, 93.0]}.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    report = Report("s", AXES, results, RETRAIN, baseline={"update.lambda": 0})
    how = baseline_lines(report)[-1]
    assert "that a retraining run is better" in how
    assert how.endswith("it is about the retrained genotypes, not about other searches")
