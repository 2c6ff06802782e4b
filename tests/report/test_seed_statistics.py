"""Intervals, paired tests and rank stability against SciPy, enumeration and simulation."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from tune_nas.report import Report, TrialResult
from tune_nas.report.bootstrap import COVERAGE, bootstrap_interval, coverage, first_shares
from tune_nas.report.genotype_orders import genotype_orders
from tune_nas.report.signed_rank import holm, p_text, signed_rank_p, smallest_p
from tune_nas.report.statistical_notes import orders_table, statistical_notes, statistics_table

Make = Callable[..., TrialResult]
LAMBDA = ["update.lambda"]


def report_of(make: Make, values: Mapping[object, Sequence[float]], mode: str = "max") -> Report:
    results = [
        make(value, accuracy, seed=seed)
        for value, accuracies in values.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    return Report("s", LAMBDA, results, "valid_accuracy", mode)


# Darwin's 15 pairs of plants (Fisher, The Design of Experiments, 1935), in eighths of an inch.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_wilcoxon_on_known_data() -> None:
    # −67 and −48 have the ranks 14 and 10, so W⁻ is 24 of 120.
    ranks = stats.rankdata(np.abs(DARWIN))
    assert sum(rank for rank, d in zip(ranks, DARWIN, strict=True) if d < 0) == 24
    assert signed_rank_p(DARWIN) == pytest.approx(
        stats.wilcoxon(DARWIN, method="exact").pvalue, rel=1e-12
    )
    assert signed_rank_p(DARWIN) == pytest.approx(0.0413, abs=5e-5)


@pytest.mark.parametrize(
    "differences",
    [[1.0, 2.0, 3.0], [1, 1, -1, 2], [2, 2, 2, -2, 5, 0], [0.5, -0.5, 1.5, 1.5, 3, -4, 4]],
)
def test_wilcoxon_by_enumeration_of_all_signs(differences: list[float]) -> None:
    own = [each for each in differences if each != 0]
    ranks = stats.rankdata(np.abs(own))
    found = sum(rank for rank, each in zip(ranks, own, strict=True) if each > 0)
    sums = [
        sum(rank for rank, positive in zip(ranks, signs, strict=True) if positive)
        for signs in itertools.product((0, 1), repeat=len(own))
    ]
    low = sum(each <= found for each in sums) / len(sums)
    high = sum(each >= found for each in sums) / len(sums)
    assert signed_rank_p(differences) == pytest.approx(min(1, 2 * min(low, high)), rel=1e-12)


def test_few_pairs_cannot_show_a_difference() -> None:
    for n in range(1, 9):
        assert signed_rank_p([1.0 + each for each in range(n)]) == smallest_p(n) == 2 / 2**n
    assert smallest_p(5) > 0.05 > smallest_p(6)
    assert signed_rank_p([]) == signed_rank_p([0.0, 0.0]) == smallest_p(0) == 1


def test_many_pairs_are_approximated() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 80)
    exact = stats.wilcoxon(values, method="exact").pvalue
    assert signed_rank_p(values.tolist()) == pytest.approx(exact, abs=2e-4)


def test_holm_by_hand() -> None:
    # Sorted: 0.01 · 4, 0.02 · 3, 0.03 · 2 and 0.04 · 1; none below the one before it.
    assert holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1, 1] and holm([]) == []


def test_the_interval_is_scipys_and_has_a_fixed_seed() -> None:
    values = [74.1, 76.3, 75.0, 79.9, 71.2]
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert bootstrap_interval(values) == pytest.approx(tuple(expected))
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval([3.0]) is None
    assert bootstrap_interval([2.0, 1.0]) == (1.0, 2.0)
    two = stats.bootstrap(([2.0, 1.0],), np.mean, rng=np.random.default_rng(0))
    assert tuple(two.confidence_interval) == (1.0, 2.0)
    assert bootstrap_interval([4.0, 4.0, 4.0]) == (4.0, 4.0)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_coverage_that_the_notes_state(n: int) -> None:
    """Of 400 intervals; two standard errors of the share are at most 5 points."""
    samples = np.random.default_rng(100 + n).normal(size=(400, n)).tolist()
    intervals = [bootstrap_interval(sample) for sample in samples]
    covered = sum(each is not None and each[0] <= 0 <= each[1] for each in intervals)
    assert 100 * covered / 400 == pytest.approx(COVERAGE[n], abs=5)
    assert (coverage(7), coverage(20), coverage(21), coverage(1)) == (86, 92, None, None)


def test_rank_stability_by_enumeration() -> None:
    """Three seeds have 27 equally probable resamples."""
    values = np.array([[90.0, 80.0, 85.0], [84.0, 84.0, 86.0], [80.0, 81.0, 82.0]])
    first = np.zeros(3)
    for chosen in itertools.product(range(3), repeat=3):
        sums = values[:, list(chosen)].sum(axis=1)
        top = np.isclose(sums, sums.max())
        first += top / top.sum() / 27
    found = first_shares(values, mode="max")
    assert found == pytest.approx(first, abs=0.015) and found.sum() == pytest.approx(1)
    assert first_shares(-values, mode="min") == pytest.approx(found)
    assert first_shares(np.array([[1.0, 2.0], [1.0, 2.0]]), mode="max").tolist() == [0.5, 0.5]


def test_two_seeds(make_result: Make) -> None:
    """Means 91, 90 and 80; three pairs of rows of two seeds."""
    report = report_of(make_result, {0: (90.0, 92.0), 1: (92.0, 88.0), 9: (79.0, 81.0)})
    found = report.over_seeds
    assert (found.n_rows, found.n_seeds, found.n_tests, found.most_pairs) == (3, 2, 3, 2)
    assert (found.smallest, found.can_differ) == (1.0, False)
    best, second, _ = found.rows
    assert (best.interval, best.test) == ((90.0, 92.0), None)
    assert second.test is not None and second.test.n == 2
    # Differences −2 and 4: W⁺ = 2 of 3, so p = 2 · P(W⁺ ≥ 2) = 1.
    assert (second.test.difference, second.test.interval) == (1.0, (-2.0, 4.0))
    assert (second.test.p, second.test.corrected) == (1.0, None)
    # Resampled twice from two seeds: (0, 0) puts λ = 1 first, the other three do not.
    assert best.first == pytest.approx(3 / 4, abs=0.02)
    # Seed 0 orders 1 > 0 > 9 and seed 1 orders 0 > 1 > 9: one of three pairs is reversed.
    assert (found.seed_tau, found.n_seed_pairs) == (pytest.approx(1 / 3), 1)
    table = statistics_table(report)
    assert table is not None
    assert table.header == [
        *("λ", "n", "valid %", "95 % interval", "best − this", "95 % interval", "pairs", "p"),
        *("p (Holm)", "first"),
    ]
    assert table.lines[1][:-1] == [
        *("1", "2", "90.00 ± 2.83", "[88.00, 92.00]", "1.00", "[-2.00, 4.00]", "2", "1", "–")
    ]
    notes = statistical_notes(report)
    assert notes[0].endswith("they contain the true mean in 50 % of cases with n = 2")
    assert notes[1].endswith(
        "corrected by Holm's method for 3 pairs of rows; with 2 pairs of seeds, p is at least 0.50 "
        "before and 1 after it, so no difference can be shown at 5 % (that needs at least 7 pairs)"
    )
    assert notes[3] == (
        "the orders of 3 rows by two single seeds agree with Kendall's τ = 0.33 (mean of 1 pair of "
        "seeds; 1: the same order, 0: unrelated)"
    )


def test_ten_seeds_show_a_difference(make_result: Make) -> None:
    """All ten differences to λ = 9 are positive: p = 2/2¹⁰; three tests, so Holm gives 6/2¹⁰."""
    best = [90.0 + each for each in range(10)]
    values = {
        0: best,
        1: [value + (0.5 if seed % 2 else -0.75) for seed, value in enumerate(best)],
        9: [value - 1 - seed / 10 for seed, value in enumerate(best)],
    }
    report = report_of(make_result, values)
    tests = {row.row.label: row.test for row in report.over_seeds.rows}
    far, near = tests["λ = 9"], tests["λ = 1"]
    assert far is not None and near is not None
    assert (far.p, far.significant) == (2 / 2**10, True)
    assert far.corrected == pytest.approx(6 / 2**10)
    # Five differences of 0.75 with mean rank 8 and five of −0.5 with mean rank 3: W⁻ = 15 of 55.
    same = [0.75 if seed % 2 == 0 else -0.5 for seed in range(10)]
    assert near.p == signed_rank_p(same) > 0.05 and not near.significant
    assert (
        "; n = 10 pairs of seeds show the difference to λ = 9 at 5 % by Wilcoxon's signed-rank "
        "test with Holm's correction (p = 0.0059), but not that to λ = 1; λ = 0 remains first in "
    ) in report.sentence()
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))["statistics"]
    assert document["n_tests"] == 3 and document["rows"][0]["test"] is None
    assert document["rows"][2]["test"]["p"] == 2 / 2**10


def test_many_comparisons_need_more_pairs(make_result: Make) -> None:
    """Seven pairs can show one difference, 2/2⁷ = 0.016, but not among six: 0.094."""
    rng = np.random.default_rng(0)
    values = {each: (90 - each + rng.normal(0, 0.1, 7)).tolist() for each in range(4)}
    report = report_of(make_result, values)
    assert report.over_seeds.smallest == pytest.approx(6 * 2 / 2**7)
    text = "n = 7 pairs of seeds cannot show a difference at 5 % among 6 comparisons"
    assert text in report.sentence()
    two = report_of(make_result, {each: values[each] for each in (0, 1)})
    assert "n = 7 pairs of seeds show the difference to λ = 1 at 5 %" in two.sentence()


def test_a_false_difference_is_rare(make_result: Make) -> None:
    """Of 200 comparisons of 5 equal configurations with 10 seeds, at most 5 % show one."""
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(200):
        values = {each: rng.normal(90, 1, 10).tolist() for each in range(5)}
        pairs = itertools.combinations(values, 2)
        p = {
            pair: signed_rank_p(np.subtract(*(values[e] for e in pair)).tolist()) for pair in pairs
        }
        best = max(values, key=lambda each: sum(values[each]))
        corrected = dict(zip(p, holm(list(p.values())), strict=True))
        false += any(own <= 0.05 for pair, own in corrected.items() if best in pair)
    assert false <= 10


def test_seeds_that_do_not_pair_are_not_tested(make_result: Make) -> None:
    results = [
        make_result(value, 80.0 + value + seed, seed=seed)
        for value, seeds in ((0, (0, 1, 2)), (9, (3, 4, 5)), (1, (0, 3, 6)))
        for seed in seeds
    ]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    assert report.over_seeds.tests == [] and report.over_seeds.n_rows == 0
    table = statistics_table(report)
    assert table is not None and table.header == ["λ", "n", "valid %", "95 % interval"]
    assert len(statistical_notes(report)) == 1
    alone = report_of(make_result, {0: (80.0,), 1: (90.0,)})
    assert statistics_table(alone) is None and statistical_notes(alone) == []


def test_rows_with_a_diverged_seed_are_not_compared(make_result: Make) -> None:
    values = {0: (90.0, 92.0, 91.0), 1: (80.0, 81.0, 82.0), 9: (95.0, 96.0, math.nan)}
    report = report_of(make_result, values)
    rows = {row.row.label: row for row in report.over_seeds.rows}
    assert rows["λ = 9"].test is None and rows["λ = 9"].first is None
    assert report.over_seeds.n_tests == 1


def test_the_order_of_the_same_genotypes(make_result: Make) -> None:
    """Supernet 1 > 2 > 3 > 4; benchmark swaps 1 and 2; retraining, of three, reverses them."""
    benchmark = {1: 92.0, 2: 93.0, 3: 91.0, 4: 90.0}
    results = [
        make_result(
            value,
            100.0 - value,
            genotype=f"g{value}",
            metrics={"benchmark/cifar10_test": accuracy},
        )
        for value, accuracy in benchmark.items()
    ]
    results += [
        make_result(
            value,
            seed=seed,
            phase="retrain",
            trial_id=f"r{value}-{seed}",
            parent=f"{value}-0",
            metrics={"test_accuracy": 90.0 + value + (1 if seed else -1)},
        )
        for value in (1, 2, 3)
        for seed in (0, 1)
    ]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    supernet, known, retrain = (
        *("supernet valid accuracy", "benchmark test accuracy", "retrain test accuracy"),
    )
    found = {each.measures: each for each in genotype_orders(report)}
    taus = {measures: (each.tau, each.n) for measures, each in found.items()}
    assert taus == {
        (supernet, known): (pytest.approx(4 / 6), 4),
        (supernet, retrain): (-1.0, 3),
        (known, retrain): (pytest.approx(-1 / 3), 3),
    }
    # Of 4! orders, 4 differ from one by at most one swap, and 4 from its reverse: p = 8/24.
    assert found[supernet, known].p == pytest.approx(8 / 24)
    assert found[supernet, retrain].p == pytest.approx(2 / 6)
    table = orders_table(report)
    assert table is not None
    assert table.lines[0] == [supernet, known, "4", "0.67", "0.33"]
    assert "| measure | and | genotypes | τ | p |" in report.markdown()


def test_a_short_and_a_full_retraining_are_two_measures(make_result: Make) -> None:
    results = [make_result(value, 90.0 + value, genotype="g") for value in (0, 1)]
    results += [
        make_result(
            value,
            phase="retrain",
            trial_id=f"{name}{value}",
            parent=f"{value}-0",
            parameters={"update.lambda": value, "retrain.setting": name},
            metrics={"test_accuracy": accuracy},
        )
        for name, accuracies in (("short", (80.0, 81.0)), ("full", (95.0, 94.0)))
        for value, accuracy in enumerate(accuracies)
    ]
    report = Report("s", LAMBDA, results, "valid_accuracy")
    taus = {each.measures: each.tau for each in genotype_orders(report)}
    short, full = (f"retrain test accuracy ({name})" for name in ("short", "full"))
    supernet = "supernet valid accuracy"
    assert taus == {(supernet, short): 1.0, (supernet, full): -1.0, (short, full): -1.0}


@pytest.mark.parametrize(
    ("p", "text"),
    [(1.0, "1"), (0.5, "0.50"), (2 / 2**9, "0.0039"), (0.03125, "0.031"), (1e-5, "< 0.0001")],
)
def test_p_values_as_text(p: float, text: str) -> None:
    assert p_text(p) == text
