"""Successive halving and ASHA: counts and traces worked out by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from tune_nas.strategies import Request, Strategy
from tune_nas.strategies.halving import best, kept
from tune_nas.strategies.strategy import Standing
from tune_nas.testing.made_up_training import Train, made_up_accuracy, requests, run_search

Build = Callable[..., Strategy]


def by_candidate(accuracies: Sequence[float | None]) -> Train:
    """Return made-up trainings whose accuracies depend on the candidate alone."""
    return lambda request: accuracies[request.candidate]


def trace(strategy: Strategy, train: Train) -> list[tuple[int, int]]:
    """Return (candidate, epochs) of each job, one job at a time."""
    return [(each.candidate, each.epochs) for each in requests(run_search(strategy, train))]


@pytest.mark.parametrize(
    ("count", "factor", "expected"),
    [(32, 2, 16), (9, 3, 3), (8, 3, 2), (1, 2, 0), (33, 1.1, 30), (7, 2.5, 2), (0, 2, 0)],
)
def test_the_number_that_is_kept(count: int, factor: float, expected: int) -> None:
    assert kept(count, factor) == expected


def test_the_best_of_a_level(build: Build) -> None:
    genotype = build("random").architectures.sample(Random(0))
    accuracies = [0.5, 0.7, float("-inf"), 0.7, 0.1]
    rung = [Standing(n, genotype, {2: value}) for n, value in enumerate(accuracies)]
    for count, expected in ((0, []), (2, [1, 3]), (3, [1, 3, 0]), (5, [1, 3, 0, 4])):
        assert [standing.candidate for standing in best(rung, 2, count)] == expected


def test_a_bracket_of_32_has_levels_of_32_16_and_8(build: Build) -> None:
    # 32·1 + 16·(2 − 1) + 8·(4 − 2) = 64 epochs, continued; 32·1 + 16·2 + 8·4 = 96 from scratch.
    for promotion, budget in (("continue", 64), ("restart", 96)):
        strategy = build("successive-halving", levels=(1, 2, 4), budget=budget, promotion=promotion)
        asked = requests(run_search(strategy))
        assert [r.epochs for r in asked] == [1] * 32 + [2] * 16 + [4] * 8
        assert strategy.spent == budget
        for before, after, count in ((1, 2, 16), (2, 4, 8)):
            known = {r.candidate: made_up_accuracy(r) for r in asked if r.epochs == before}
            expected = sorted(known, key=known.__getitem__, reverse=True)[:count]
            assert [r.candidate for r in asked if r.epochs == after] == expected


def test_brackets_follow_until_the_budget_is_spent(build: Build) -> None:
    keys = {"levels": (1, 3), "halving": {"candidates": 5, "reduction_factor": 2}}
    strategy = build("successive-halving", budget=25, **keys)
    # A bracket costs 5·1 + 2·2 = 9. After two of them, 7 epochs are left: 5·1, and one promotion.
    assert trace(strategy, by_candidate([0.1, 0.2, 0.5, 0.4, 0.5] * 3)) == [
        *((n, 1) for n in range(5)), (2, 3), (4, 3),
        *((n, 1) for n in range(5, 10)), (7, 3), (9, 3),
        *((n, 1) for n in range(10, 15)), (12, 3),
    ]  # fmt: skip
    assert strategy.spent == 25


def test_one_candidate_goes_on_at_least_and_failed_ones_never(build: Build) -> None:
    keys = {"levels": (1, 2, 3), "halving": {"candidates": 3, "reduction_factor": 4}}
    accuracies = [0.1, 0.3, 0.2, None, None, None, None, 0.1, None]
    assert trace(build("successive-halving", budget=13, **keys), by_candidate(accuracies)) == [
        *((0, 1), (1, 1), (2, 1), (1, 2), (1, 3)),
        *((3, 1), (4, 1), (5, 1)),  # all failed: the next bracket
        *((6, 1), (7, 1), (8, 1), (7, 2), (7, 3)),
    ]


def test_a_level_is_decided_when_its_results_are_complete(build: Build) -> None:
    strategy = build("successive-halving", levels=(1, 2), budget=50, halving={"candidates": 4})
    asked = [strategy.ask() for _ in range(4)]
    for request in reversed(asked[1:]):
        assert request is not None and strategy.ask() is None
        strategy.tell(request, 0.5)
    assert strategy.ask() is None  # candidate 0 could be the best
    assert asked[0] is not None
    strategy.tell(asked[0], 0.4)
    promoted = [strategy.ask(), strategy.ask()]
    assert [r.candidate for r in promoted if r is not None] == [1, 2]  # ties: the earlier ones
    assert strategy.ask() is None


def test_asha_promotes_whenever_a_candidate_is_among_the_best_half(build: Build) -> None:
    # n: results of a level, of which the best ⌊n / 2⌋ are promoted; upper levels first.
    strategy = build("asha", levels=(1, 2, 4), budget=14)
    assert trace(strategy, by_candidate([0.3, 0.1, 0.5, 0.4, 0.9, 0.0])) == [
        (0, 1),
        (1, 1),
        (0, 2),  # level 1, n = 2: candidate 0
        (2, 1),  # level 2, n = 1: none
        (2, 2),  # level 1, n = 3: candidate 2
        (2, 4),  # level 2, n = 2: candidate 2
        (3, 1),
        (3, 2),  # level 1, n = 4: candidates 2 and 3
        (4, 1),  # level 2, n = 3: candidate 2, which was promoted
        (4, 2),  # level 1, n = 5: candidates 4 and 2
        (4, 4),  # level 2, n = 4: candidates 4 and 2
        (5, 1),
    ]


def test_asha_with_the_best_first_trains_9_3_and_1_like_the_paper(build: Build) -> None:
    keys = {"levels": (1, 3, 9), "halving": {"reduction_factor": 3}}
    strategy = build("asha", budget=9 + 3 * 2 + 6, **keys)
    falling = [1 - n / 10 for n in range(9)]
    assert trace(strategy, by_candidate(falling)) == [
        *((0, 1), (1, 1), (2, 1), (0, 3)),
        *((3, 1), (4, 1), (5, 1), (1, 3)),
        *((6, 1), (7, 1), (8, 1), (2, 3), (0, 9)),
    ]


def test_asha_with_the_best_last_promotes_too_many(build: Build) -> None:
    # The paper's caveat: early promotions of candidates that later ones beat.
    strategy = build("asha", levels=(1, 3), budget=8 + 7 * 2, halving={"reduction_factor": 2})
    rising = [n / 10 for n in range(20)]
    counts = Counter(epochs for _, epochs in trace(strategy, by_candidate(rising)))
    assert counts[1] == 8 and counts[3] == 7  # halving would promote 4


def test_asha_never_promotes_a_failed_candidate_and_counts_it(build: Build) -> None:
    strategy = build("asha", levels=(1, 2), budget=6)
    # n = 4 with two failed: the best two are candidates 1 and 3.
    assert trace(strategy, by_candidate([None, 0.2, None, 0.1, 0.0])) == [
        *((0, 1), (1, 1), (1, 2), (2, 1), (3, 1), (3, 2))
    ]


def test_asha_asks_without_waiting_and_decides_on_known_results(build: Build) -> None:
    strategy = build("asha", levels=(1, 2), budget=50)
    asked: list[Request] = []
    for _ in range(4):
        request = strategy.ask()
        assert request is not None
        asked.append(request)
    assert [(r.candidate, r.epochs) for r in asked] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    strategy.tell(asked[3], 0.1)
    strategy.tell(asked[1], 0.0)
    after = [strategy.ask(), strategy.ask()]
    assert [(r.candidate, r.epochs) for r in after if r is not None] == [(3, 2), (4, 1)]


def test_asha_serves_the_upper_level_first(build: Build) -> None:
    strategy = build("asha", levels=(1, 2, 4), budget=50)

    def ask() -> Request:
        request = strategy.ask()
        assert request is not None
        return request

    for request, accuracy in zip([ask() for _ in range(4)], (0.4, 0.3, 0.2, 0.1), strict=True):
        strategy.tell(request, accuracy)
    promoted = [ask(), ask()]
    assert [(r.candidate, r.epochs) for r in promoted] == [(0, 2), (1, 2)]
    late = ask()
    for request, accuracy in ((promoted[0], 0.5), (promoted[1], 0.4), (late, 0.9)):
        strategy.tell(request, accuracy)
    # Due are candidate 4 at level 1 (n = 5) and candidate 0 at level 2 (n = 2).
    due = [ask(), ask()]
    assert [(r.candidate, r.epochs) for r in due] == [(0, 4), (4, 2)]
