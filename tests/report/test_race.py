"""A race over seeds: its probabilities against simulations, its decisions worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from tune_nas.report.race import Configuration, Drop, RaceRule, run_race, win_probability

A, B, C = (0.0,), (1.0,), (math.inf,)
RULE = RaceRule(seeds=(1, 2, 3, 4, 5), least=2)


def outcomes(
    values: Mapping[Configuration, Sequence[float | None]],
) -> dict[Configuration, dict[int, float | None]]:
    return {each: dict(enumerate(own, start=1)) for each, own in values.items()}


def test_the_probability_by_hand() -> None:
    # Mean −2, s = 1, n = 3, N = 10: the scale is √(1/3 − 1/10) = 0.4830, t = −4.140 with 2 degrees
    # of freedom, whose distribution function is 1/2 + t / (2 √(2 + t²)).
    t = -2 / math.sqrt(1 / 3 - 1 / 10)
    expected = 0.5 + t / (2 * math.sqrt(2 + t * t))
    assert win_probability([-1, -2, -3], left=7) == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(0.0268, abs=5e-5)


def test_with_many_seeds_left_it_is_the_paired_t_test() -> None:
    one, two = [91.0, 90.2, 93.1, 92.4], [92.0, 91.9, 93.0, 93.3]
    differences = [a - b for a, b in zip(one, two, strict=True)]
    p = stats.ttest_rel(one, two, alternative="greater").pvalue
    assert win_probability(differences, left=10**9) == pytest.approx(1 - p, abs=1e-6)


@pytest.mark.parametrize(("n", "left", "effect"), [(2, 8, 0.0), (3, 7, -0.3), (5, 5, 0.0)])
def test_a_later_winner_is_seldom_dropped(n: int, left: int, effect: float) -> None:
    """For normal differences, whatever their mean, in at most the threshold's share of cases."""
    samples = np.random.default_rng(0).normal(effect, 1.0, (20_000, n + left))
    first = samples[:, :n]
    scale = first.std(axis=1, ddof=1) * math.sqrt(1 / n - 1 / (n + left))
    dropped = stats.t.cdf(first.mean(axis=1) / scale, n - 1) < 0.05
    some = [win_probability(list(row), left) < 0.05 for row in first[:200]]
    assert some == dropped[:200].tolist()
    assert 0 < (dropped & (samples.mean(axis=1) > 0)).mean() < 0.05


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([], 1), ([-3.0], 1), ([-3.0, -3.0], 1), ([0.0] * 3, 0), ([-1.0] * 3, 0), ([1.0] * 3, 1)],
)
def test_too_few_differences_and_differences_without_spread(
    differences: list[float], expected: float
) -> None:
    assert win_probability(differences, left=5) == expected


def test_a_race_by_hand() -> None:
    """C is dropped after 2 seeds, B after 4; with one left, the race ends."""
    values = {A: (90.0, 91.0, 92.0, 93.0), B: (91.0, 90.0, 60.0, 60.0), C: (80.0, 80.9)}
    race = run_race(RULE, outcomes(values))
    assert [(each, drop.seeds) for each, drop in race.dropped.items()] == [(C, 2), (B, 4)]
    # C − A: −10.0 and −10.1. B − A: 1, −1, −32, −33, where the first three do not suffice:
    # their mean −10.67 is 1.58 times the scale, and T₂(−1.58) = 0.13.
    assert race.dropped[C].behind == pytest.approx(10.05)
    assert race.dropped[C].probability == pytest.approx(win_probability([-10.0, -10.1], left=3))
    assert win_probability([1, -1, -32], left=2) == pytest.approx(0.127, abs=1e-3)
    assert race.dropped[B].behind == pytest.approx(16.25)
    assert race.trials == tuple(
        [(each, seed) for seed in (1, 2) for each in (A, B, C)]
        + [(each, seed) for seed in (3, 4) for each in (A, B)]
    )
    assert (race.rounds, race.over, race.most, race.total(RULE)) == (4, True, 15, 10)
    assert (race.survived(C), race.survived(A)) == (2, math.inf)


def test_the_last_one_gets_no_further_seed() -> None:
    race = run_race(RULE, outcomes({A: (90.0, 91.0), B: (80.0, 81.01), C: (80.0, 80.99)}))
    assert set(race.dropped) == {B, C} and race.over
    assert len(race.trials) == race.total(RULE) == 6
    upside_down = RaceRule(RULE.seeds, 2, mode="min")
    values = {A: (90.0, 91.0), B: (80.0, 81.01), C: (80.0, 80.99)}
    race = run_race(upside_down, outcomes(values))
    assert set(race.dropped) == {A} and not race.over
    assert race.dropped[A].behind == pytest.approx(10.005)  # C has 80.495, B 80.505


def test_one_that_is_equal_in_every_seed_is_dropped_as_zero_behind() -> None:
    race = run_race(RULE, outcomes({A: (90.0, 91.0, 92.0), B: (90.0, 91.0, 92.0)}))
    assert (list(race.dropped), f"{race.dropped[B].behind:.2f}") == ([B], "0.00")


def test_until_all_seeds_are_used() -> None:
    race = run_race(RULE, outcomes({A: (90, 92, 90, 92, 90), B: (91, 91, 91, 91, 91)}))
    assert race.trials == tuple((each, seed) for seed in RULE.seeds for each in (A, B))
    assert (race.dropped, race.rounds, race.over, race.most) == ({}, 5, True, 10)


def test_the_order_in_which_trials_end_decides_nothing() -> None:
    """Any subset of a round leaves the decisions of the round before it."""
    full = outcomes({A: (90.0, 91.0, 92.0), B: (89.0, 92.0, 90.5), C: (80.0, 81.01)})
    after_two = run_race(RULE, {each: dict(list(own.items())[:2]) for each, own in full.items()})
    assert after_two.dropped.keys() == {C}
    for missing in (A, B):
        part = {each: dict(own) for each, own in full.items()}
        del part[missing][3]
        assert run_race(RULE, part) == after_two
    for shuffled in itertools.permutations(full):
        race = run_race(RULE, {each: full[each] for each in shuffled})
        assert race.dropped == run_race(RULE, full).dropped


def test_a_trial_of_the_first_round_is_awaited() -> None:
    race = run_race(RULE, {A: {1: 90.0, 2: 91.0}, B: {1: 10.0}})
    assert (race.dropped, race.rounds, race.over) == ({}, 0, False)
    assert len(race.trials) == 4 and race.total(RULE) == 10
    assert run_race(RULE, {A: {}, B: {}}).trials == race.trials


def test_diverged_and_failed_trials() -> None:
    """Who diverged cannot win, nor who has no value; a failed seed alone is left out."""
    values = {A: (90.0, None, 92.0), B: (99.0, math.nan), C: (None, None)}
    race = run_race(RULE, outcomes(values))
    assert race.dropped == {B: Drop(2), C: Drop(2)} and race.over
    values = {A: (90.0, None, 92.0), B: (80.0, 81.0, 82.01)}
    race = run_race(RULE, outcomes(values))  # −10 and −9.99 at the common seeds 1 and 3
    assert race.dropped.keys() == {B} and race.rounds == 3
    nobody = {A: (math.nan,) * 5, B: (None,) * 5}
    assert run_race(RULE, outcomes(nobody)).dropped == {}


def test_equal_searches_end_after_three_seeds() -> None:
    """The order of the values decides a tie, so the second can never win."""
    race = run_race(RULE, outcomes({B: (90.0, 80.0, 70.0), A: (90.0, 80.0, 70.0)}))
    assert race.dropped == {B: Drop(3, 0.0, 0.0)} and race.over
