"""RANK-NOSH: worked rounds, the predictor's part, level 0, and the checks of its options."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_nas import manifest
from tune_nas.config.strategy_config import NoshConfig, StrategyConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.predictor import Encoder
from tune_nas.spaces import Genotype, Space, load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import Request, StrategyInputs
from tune_nas.strategies.nosh import RankNosh

Accuracy = Callable[[Request], float | None]
Levels = list[list[tuple[int, int, int]]]
SPACE = load_space("nasbench201")
SMALL: dict[str, Any] = {"proposals": 4, "keep": 0.5, "pool": 8, "sampled": 20, "proxy": None}


def convolutions(genotype: Genotype) -> float:
    return sum(name == "nor_conv_3x3" for _, _, name in genotype.cells["normal"].triples())


class Counting(Encoder):
    """Scores a cell by its number of 3×3 convolutions; there is nothing to learn."""

    def __init__(self, space: Any, config: Any) -> None:
        super().__init__(space, config)
        self.unused = nn.Parameter(torch.zeros(()))

    def encode(self, genotypes: Any) -> Tensor:
        """Return the numbers of convolutions, (n,)."""
        return torch.tensor([convolutions(genotype) for genotype in genotypes])

    def forward(self, batch: Tensor) -> Tensor:
        """Return them."""
        return batch + 0 * self.unused


@pytest.fixture(autouse=True)
def _counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_registered", {"encoders": {"counting": Counting}})


def search(
    seed: int = 0,
    proxy: Callable[[Genotype], float] | None = None,
    nosh: dict[str, Any] | None = None,
    space: Space = SPACE,
    **options: Any,
) -> RankNosh:
    config = StrategyConfig(
        **{
            **{"kind": "rank-nosh", "budget": 1000, "levels": (1, 2, 3)},
            **{
                "predictor": {"encoder": "counting", "epochs": 1},
                "nosh": {**SMALL, **(nosh or {})},
            },
            **options,
        }
    )
    return RankNosh(StrategyInputs(Architectures(space), config, seed, proxy))


def run(strategy: RankNosh, accuracy: Accuracy, shuffled: int | None = None) -> Levels:
    """Run to the end; return the (candidate, start, epochs) that were asked together."""
    levels = []
    while not strategy.done:
        batch: list[Request] = []
        while (request := strategy.ask()) is not None:
            batch.append(request)
        if not batch:
            break
        levels.append([(each.candidate, each.start, each.epochs) for each in batch])
        if shuffled is not None:
            random.Random(shuffled).shuffle(batch)
        for request in batch:
            strategy.tell(request, accuracy(request))
    return levels


# Made-up accuracies by epochs: candidate 2 loses at the first level in round 1.
AT_1 = [0.50, 0.40, 0.30, 0.20, 0.10, 0.45, 0.15, 0.25]
AT_2 = {0: 0.60, 1: 0.70, 2: 0.65, 5: 0.50}
AT_3 = {1: 0.80, 2: 0.90}


def worked(request: Request) -> float:
    by_epochs = {1: dict(enumerate(AT_1)), 2: AT_2, 3: AT_3}
    return by_epochs[request.epochs][request.candidate]


def test_two_rounds_by_hand() -> None:
    strategy = search()
    assert run(strategy, worked) == [
        [(0, 0, 1), (1, 0, 1), (2, 0, 1), (3, 0, 1)],  # K = 4 new ones
        [(0, 1, 2), (1, 1, 2)],  # rK = 2
        [(1, 2, 3)],  # r²K = 1
        [(4, 0, 1), (5, 0, 1), (6, 0, 1), (7, 0, 1)],
        [(5, 1, 2), (2, 1, 2)],  # 0.45, and the loser of round 1 with 0.30 before 0.25
        [(2, 2, 3)],  # 0.65 before the 0.60 of candidate 0, which waited
    ]
    assert strategy.done
    assert strategy.spent == 2 * (4 + 2 + 1)
    assert [standing.candidate for standing in strategy.ranking()[:2]] == [2, 1]
    levels = [each.level for each in strategy.observations()]
    assert levels == [2, 3, 3, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("shuffled", [1, 2, 3])
def test_decisions_are_independent_of_the_order_of_answers(shuffled: int) -> None:
    straight, other = search(), search()
    assert run(straight, worked) == run(other, worked, shuffled)
    assert [each.genotype for each in straight.standings] == [
        each.genotype for each in other.standings
    ]
    assert straight.round_correlations == other.round_correlations


def test_the_seed_determines_the_proposals() -> None:
    predictor = {"width": 4, "depth": 1, "epochs": 5}
    same, again, other = (search(seed, predictor=predictor) for seed in (0, 0, 1))
    for strategy in (same, again, other):
        run(strategy, worked)
    proposed = [[each.genotype for each in one.standings] for one in (same, again, other)]
    assert proposed[0] == proposed[1] != proposed[2]
    assert len({str(genotype) for genotype in proposed[0]}) == 8


def test_the_predictor_chooses_and_its_rank_correlation_is_kept() -> None:
    strategy = search(levels=(1,))
    run(strategy, lambda each: -each.candidate)
    counts = [convolutions(standing.genotype) for standing in strategy.standings]
    chosen = counts[4:]
    assert sum(counts[:4]) < sum(chosen) and chosen == sorted(chosen, reverse=True)
    # Accuracies fall from one to the next: all untied pairs agree, so that C / √(C · 6) = √(C / 6).
    untied = sum(one != other for one, other in itertools.combinations(chosen, 2))
    assert 0 < untied < 6
    assert strategy.round_correlations == [None, pytest.approx(math.sqrt(untied / 6))]
    assert strategy.metrics() == {"predictor_tau": strategy.round_correlations[1]}


def test_level_0_by_the_proxy() -> None:
    scored: list[Genotype] = []

    def proxy(genotype: Genotype) -> float:
        scored.append(genotype)
        return math.nan if len(scored) == 1 else convolutions(genotype)

    strategy = search(proxy=proxy)
    run(strategy, worked)
    assert len(scored) == 16  # ⌈K / r⌉ = 8 in each round
    by_score = sorted(scored[1:8], key=lambda genotype: -convolutions(genotype))
    assert [each.genotype for each in strategy.standings[:4]] == by_score[:4]
    # Losers compete again: round 2 takes the best of all 12 at level 0.
    rest = [*by_score[4:], *scored[8:]]
    best = sorted(map(convolutions, rest), reverse=True)[:4]
    assert [convolutions(each.genotype) for each in strategy.standings[4:]] == best
    observed = strategy.observations()
    assert [each.level for each in observed].count(0) == 8 and len(observed) == 16
    assert observed[0].score == -math.inf


def test_mutations_are_neighbors_of_the_best() -> None:
    strategy = search(levels=(1,), nosh={"propose": "mutation", "proposals": 2, "pool": 4})
    run(strategy, worked)
    parents = [standing.genotype for standing in strategy.standings[:2]]
    neighbors = {str(each) for parent in parents for each in Architectures(SPACE).neighbors(parent)}
    assert {str(each.genotype) for each in strategy.standings[2:]} < neighbors


def test_the_budget_ends_the_search_within_a_level() -> None:
    strategy = search(budget=5)
    assert run(strategy, worked) == [
        [(0, 0, 1), (1, 0, 1), (2, 0, 1), (3, 0, 1)],
        [(0, 1, 2)],
    ]
    assert strategy.done and strategy.ranking()[0].candidate == 0


def test_failed_candidates_do_not_continue() -> None:
    strategy = search(nosh={"pool": 4})
    levels = run(strategy, lambda each: None if each.candidate in (0, 1) else 1 - each.candidate)
    assert levels[1:] == [[(2, 1, 2), (3, 1, 2)], [(2, 2, 3)]]
    assert [each.level for each in strategy.observations()] == [3, 2]
    failing = search()
    assert len(run(failing, lambda _: None)) == 2  # two rounds of new candidates
    assert failing.done and failing.round_correlations == [None, None]


def test_the_last_round_fills_the_pool() -> None:
    levels = run(search(nosh={"pool": 6}), lambda each: each.candidate / 10)
    assert [len(level) for level in levels] == [4, 2, 1, 2, 2, 1]


@pytest.mark.parametrize("operations", [["skip_connect"], ["none", "skip_connect"]])
@pytest.mark.parametrize("propose", ["random", "mutation"])
def test_a_space_without_new_genotypes_ends_the_search(operations: list[str], propose: str) -> None:
    cell = {"inputs": 2, "nodes": 1, "edges": ["0->2"], "operations": operations}
    cells = {name: {**cell, "output": "concat"} for name in ("normal", "reduction")}
    skeleton = {"layout": "thirds", "init_channels": 4, "cells": 3}
    space = Space.from_dict({"name": "tiny", "cells": cells, "skeleton": skeleton})
    strategy = search(space=space, nosh={"propose": propose, "proposals": 2})
    run(strategy, lambda each: each.candidate / 10)
    assert strategy.done and 1 <= len(strategy.standings) <= len(operations) ** 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": 3}, "strategy.nosh.proposals is 8, but must be <= 3 (strategy.nosh.pool)"),
        (
            {"keep": 0.1},
            "strategy.nosh.keep is 0.1, but must be >= 0.125, so that one of 8 candidates "
            "(strategy.nosh.proposals) is kept",
        ),
        ({"sampled": 7}, "strategy.nosh.sampled is 7, but must be >= 8 (strategy.nosh.proposals)"),
        ({"keep": 1.0}, "strategy.nosh.keep is 1.0, but must be < 1"),
        (
            {"propose": "grid"},
            "strategy.nosh.propose is 'grid', but must be 'random' or 'mutation'",
        ),
    ],
)
def test_options_that_contradict_each_other_are_one_line(
    changes: dict[str, Any], message: str
) -> None:
    overrides = {f"strategy.nosh.{key}": value for key, value in changes.items()}
    with pytest.raises(ConfigError) as error:
        load_trial("rank-nosh", overrides)
    assert str(error.value).endswith(f": {message}") and "\n" not in str(error.value)


def test_levels_must_increase() -> None:
    with pytest.raises(ConfigError, match="must increase from level to level"):
        load_trial("rank-nosh", {"strategy.levels": [3, 3]})


def test_the_defaults_are_those_of_the_trial_file() -> None:
    strategy = load_trial("rank-nosh").strategy
    assert strategy is not None and strategy.nosh == NoshConfig()
    assert strategy.predictor == StrategyConfig().predictor
