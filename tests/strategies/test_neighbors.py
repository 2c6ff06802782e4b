"""Evolution and local search: who is the parent, who dies, and where the search moves."""

from __future__ import annotations

import csv
import gzip
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_nas.spaces import Genotype
from tune_nas.strategies import Request, Standing, Strategy
from tune_nas.testing.made_up_training import made_up_accuracy, requests, run_search

Build = Callable[..., Strategy]


def are_neighbors(strategy: Strategy, parent: Standing, child: Standing) -> bool:
    """Return whether a candidate's genotype is a neighbor of another's."""
    return child.genotype in list(strategy.architectures.neighbors(parent.genotype))


@pytest.mark.parametrize("seed", range(5))
def test_the_oldest_dies_however_accurate_it_is(build: Build, seed: int) -> None:
    # With 200 members sampled of 3, the best one is missed with probability (2/3)^200.
    population = {"population": 3, "sample_size": 200}
    strategy = build("evolution", seed=seed, levels=(1,), budget=7, evolution=population)
    accuracies = [0.9, 0.1, 0.2, 0.0, 0.3, 0.05, 0.0]
    run_search(strategy, lambda request: accuracies[request.candidate])
    # population → parent: {0, 1, 2} → 0; {1, 2, 3} → 2; {2, 3, 4} → 4; {3, 4, 5} → 4
    for child, parent in ((3, 0), (4, 2), (5, 4), (6, 4)):
        parents = [s.candidate for s in strategy.standings if are_neighbors(
            strategy, s, strategy.standings[child])]  # fmt: skip
        assert parent in parents
    assert not are_neighbors(strategy, strategy.standings[0], strategy.standings[4])


def test_a_parent_is_sampled_with_replacement(build: Build) -> None:
    # A tournament of 2 out of 2 misses the better one with probability 1/4, not 0.
    children = 0
    for seed in range(100):
        population = {"population": 2, "sample_size": 2}
        strategy = build("evolution", seed=seed, levels=(1,), budget=3, evolution=population)
        run_search(strategy, lambda request: [0.9, 0.1, 0.0][request.candidate])
        better, worse, child = strategy.standings
        children += are_neighbors(strategy, worse, child) and not are_neighbors(
            strategy, better, child
        )
    # 25 expected, standard deviation 4
    assert 8 <= children <= 42


def test_the_first_population_does_not_depend_on_the_order(build: Build) -> None:
    keys = {"budget": 60, "levels": (1,), "evolution": {"population": 20, "sample_size": 5}}
    one, many = (
        requests(run_search(build("evolution", **keys), workers=workers))[:21]
        for workers in (1, 20)
    )
    # The 21st is asked for when all 20 results are known, in both.
    assert [request.genotype for request in one] == [request.genotype for request in many]


def test_failed_candidates_are_no_parents(build: Build) -> None:
    strategy = build(
        "evolution", levels=(1,), budget=12, evolution={"population": 4, "sample_size": 50}
    )
    run_search(strategy, lambda r: 0.1 if r.candidate == 2 else None)
    for child in strategy.standings[4:6]:
        assert are_neighbors(strategy, strategy.standings[2], child)
    assert strategy.done and len(strategy.standings) == 12  # random ones, once 2 has died


def test_if_all_sampled_members_failed_the_next_one_is_random(build: Build) -> None:
    related = 0
    for seed in range(20):
        population = {"population": 1, "sample_size": 1}
        strategy = build("evolution", seed=seed, levels=(1,), budget=2, evolution=population)
        run_search(strategy, lambda _: None)
        related += are_neighbors(strategy, *strategy.standings)
    assert related <= 2  # 24 of 15,624 by chance; 20 if the failed one were the parent


def test_mutations_are_sampled_uniformly(build: Build) -> None:
    strategy = build("random")
    parent = strategy.architectures.sample(strategy.rng("parent"))
    counts = Counter(
        strategy.mutate_new(parent, strategy.rng(f"mutation {number}")) for number in range(2400)
    )
    assert set(counts) == set(strategy.architectures.neighbors(parent)) and len(counts) == 24
    # 100 expected of each, standard deviation 10
    assert 50 <= min(counts.values()) <= max(counts.values()) <= 150


@pytest.mark.parametrize("kind", ["random", "evolution", "local-search", "successive-halving"])
def test_a_small_space_is_searched_completely(build: Build, chain: str, kind: str) -> None:
    keys = {"evolution": {"population": 2, "sample_size": 1}, "local_search": {"start": 2}}
    strategy = build(kind, space=chain, levels=(1,), budget=100, **keys)
    run_search(strategy, workers=2)
    assert strategy.done and strategy.spent == 9
    assert len({standing.genotype for standing in strategy.standings}) == 9


OPERATIONS = ("avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
LANDSCAPE = [[5, 1, 2], [1, 0, 3], [2, 3, 6]]
"""Accuracies by the two operations; (0, 0) and (2, 2) are local optima."""


def point(genotype: Genotype) -> tuple[int, int]:
    """Return the numbers of the two operations."""
    first, second = genotype.cells["normal"].edges
    return OPERATIONS.index(first.operation), OPERATIONS.index(second.operation)


def height(request: Request) -> float:
    """Return the accuracy of the landscape."""
    row, column = point(request.genotype)
    return LANDSCAPE[row][column]


def test_local_search_on_a_landscape_by_hand(build: Build, chain: str) -> None:
    seen = set()
    for seed in range(30):
        keys = {"budget": 9, "levels": (1,), "local_search": {"start": 1}}
        strategy = build("local-search", space=chain, seed=seed, **keys)
        path = [point(request.genotype) for request in requests(run_search(strategy, height))]
        start = path[0]
        seen.add(start)
        row, column = start
        around = {(row, n) for n in range(3)} | {(n, column) for n in range(3)}
        assert set(path[:5]) == around  # the start and its four neighbors
        if start in ((0, 0), (2, 2)):
            # A local optimum: a random candidate, then its neighbors that are not known.
            again = path[5]
            assert again not in around
            assert all(again[0] == r or again[1] == c for r, c in path[6:8])
        if start == (1, 1):
            # (1, 2) and (2, 1) tie with 3, the earlier one is next. Its other neighbors are known.
            best = next(p for p in path if p in ((1, 2), (2, 1)))
            other = (0, 2) if best == (1, 2) else (2, 0)
            assert set(path[5:7]) == {other, (2, 2)}
            # (2, 2) is the best: its only unknown neighbor follows, then a restart.
            assert path[7:] == [(2, 0) if other == (0, 2) else (0, 2), (0, 0)]
    assert {(0, 0), (1, 1), (2, 2)} <= seen


def test_neighbors_are_trained_in_random_order_and_a_tie_is_no_improvement(build: Build) -> None:
    orders = set()
    for seed in range(5):
        strategy = build(
            "local-search", seed=seed, levels=(1,), budget=40, local_search={"start": 1}
        )
        asked = requests(run_search(strategy, lambda _: 0.5))
        around = list(strategy.architectures.neighbors(asked[0].genotype))
        positions = [around.index(r.genotype) for r in asked[1:] if r.genotype in around]
        assert positions != sorted(positions)
        orders.add(tuple(positions))
        # All neighbors are as accurate as the start: a local optimum, so a sample follows.
        restart = asked[len(positions) + 1]
        sample = strategy.architectures.sample(strategy.rng(f"candidate {restart.candidate}"))
        assert restart.genotype == sample
    assert len(orders) == 5


@pytest.mark.parametrize("workers", [1, 4])
def test_local_search_climbs_to_the_optimum_and_restarts(build: Build, workers: int) -> None:
    def convolutions(request: Request) -> float:
        edges = request.genotype.cells["normal"].edges
        return sum(edge.operation == "nor_conv_3x3" for edge in edges) / len(edges)

    for seed in range(3):
        strategy = build("local-search", seed=seed, levels=(1,), budget=250)
        asked = requests(run_search(strategy, convolutions, workers=workers))
        best = strategy.ranking()[0]
        assert best.accuracy == 1.0
        # 10 starts, then at most 24 neighbors at each step of at least 1/6.
        assert best.candidate < 10 + 6 * 24
        around = list(strategy.architectures.neighbors(best.genotype))
        last = max(r.candidate for r in asked if r.genotype in around)
        # Then it starts again: 10 random candidates, which are samples unless one is known.
        samples = [
            strategy.architectures.sample(strategy.rng(f"candidate {number}"))
            for number in range(last + 1, last + 11)
        ]
        again = [request.genotype for request in asked[last + 1 : last + 11]]
        assert sum(one == other for one, other in zip(again, samples, strict=True)) >= 7


def test_all_starts_failing_gives_new_starts(build: Build) -> None:
    keys = {"levels": (1,), "budget": 30, "local_search": {"start": 4}}
    strategy = build("local-search", **keys)
    asked = requests(
        run_search(strategy, lambda r: None if r.candidate < 8 else made_up_accuracy(r))
    )
    best = min(strategy.standings[8:12], key=lambda s: -s.accuracy)
    assert all(are_neighbors(strategy, best, strategy.standings[r.candidate]) for r in asked[12:20])


def test_both_beat_random_search_on_the_real_table(build: Build, shared_data_dir: Path) -> None:
    """Mean best validation accuracy of 10 searches with 150 candidates each, NAS-Bench-201."""
    with gzip.open(shared_data_dir / "nasbench201.csv.gz", "rt", encoding="utf-8") as file:
        table = {row["arch"]: float(row["c10_valid_200"]) for row in csv.DictReader(file)}
    means = {}
    for kind in ("random", "evolution", "local-search"):
        found = []
        for seed in range(10):
            strategy = build(kind, seed=seed, levels=(1,), budget=150)
            run_search(strategy, lambda request: table[str(request.genotype)])
            found.append(strategy.ranking()[0].accuracy)
        means[kind] = statistics.mean(found)
    print(means)
    best = max(table.values())
    assert means["random"] < means["evolution"] <= best
    assert means["random"] < means["local-search"] <= best
    assert best - means["local-search"] < 0.5 * (best - means["random"])
