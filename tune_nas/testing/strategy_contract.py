"""Tests that every strategy must pass: reproducible, within the budget, ends, resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest

from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.seeds import derive_seed
from tune_nas.spaces import Genotype, load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import History, Request, Strategy, StrategyInputs, make_strategy
from tune_nas.testing.made_up_training import Call, made_up_accuracy, requests, run_search

_TINY = """
cells:
  normal: {inputs: 1, nodes: 1, operations: [skip_connect, nor_conv_1x1, nor_conv_3x3],
           output: last}
skeleton: {layout: stages, init_channels: 2, cells: 1}
"""


class StrategyContract:
    """The tests of a strategy; accuracies are made up.

    Attributes:
        kind: A name, or ``module:Class``.
        options: ``strategy.options``, for a custom class.
        settings: Further keys of the section ``strategy``, e.g. ``{"evolution": {…}}``, with which
            the strategy shows all its behavior within the budget.
        space: The space, by name or path.
        every: The search is killed and resumed after every so many calls.
    """

    kind: ClassVar[str]
    options: ClassVar[Mapping[str, object]] = {}
    settings: ClassVar[Mapping[str, object]] = {}
    space: ClassVar[str] = "nasbench201"
    every: ClassVar[int] = 13

    def make(self, seed: int = 0, space: str | None = None, **changes: object) -> Strategy:
        """Return a new strategy.

        Args:
            seed: Its seed.
            space: Another space, by name or path.
            changes: Keys of the section ``strategy`` with other values.
        """
        keys = {"budget": 200, "levels": (1, 2, 4), **self.settings, **changes}
        config = StrategyConfig.model_validate(
            {"kind": self.kind, "options": dict(self.options), **keys}
        )
        architectures = Architectures(load_space(space or self.space))
        return make_strategy(StrategyInputs(architectures, config, seed, proxy=_proxy))

    def test_the_same_seed_gives_the_same_search(self) -> None:
        """Two searches with one seed are equal, and one with another seed is not."""
        first, second, other = (run_search(self.make(seed)) for seed in (1, 1, 2))
        assert first == second
        assert [r.genotype for r in requests(first)] != [r.genotype for r in requests(other)]

    def test_candidates_are_of_the_space_and_compute_different_things(self) -> None:
        """Every genotype is legal, and no two candidates compute the same."""
        strategy = self.make()
        run_search(strategy)
        space = strategy.architectures.space
        for standing in strategy.standings:
            standing.genotype.check(space)
        keys = [strategy.architectures.key(each.genotype) for each in strategy.standings]
        assert len(set(keys)) == len(keys) > 1, "two candidates compute the same"

    @pytest.mark.parametrize("promotion", ["continue", "restart"])
    def test_the_budget_is_kept(self, promotion: str) -> None:
        """The sum of the jobs' epochs is ``spent``, and never more than the budget."""
        for budget in (4, 5, 33, 200):
            strategy = self.make(budget=budget, promotion=promotion)
            asked = requests(run_search(strategy))
            assert asked, f"a budget of {budget} epochs trains nothing"
            assert strategy.spent == sum(request.cost for request in asked) <= budget

    @pytest.mark.parametrize("promotion", ["continue", "restart"])
    def test_trainings_get_longer_level_by_level(self, promotion: str) -> None:
        """A job trains a new candidate, or one with a result to a later level."""
        strategy = self.make(promotion=promotion)
        trained: dict[int, tuple[Genotype, int]] = {}
        jobs: dict[int, Request] = {}
        for call in run_search(strategy, workers=3):
            request = call.request
            if request is None:
                continue
            if call.name == "tell":
                job = jobs.pop(request.number)
                trained[job.candidate] = (job.genotype, job.epochs)
                continue
            assert request.candidate not in {job.candidate for job in jobs.values()}
            genotype, epochs = trained.get(request.candidate, (request.genotype, 0))
            assert request.genotype == genotype
            assert request.epochs in strategy.config.levels and request.epochs > epochs
            assert request.start == (epochs if promotion == "continue" else 0)
            jobs[request.number] = request

    @pytest.mark.parametrize("workers", [1, 3, 8])
    def test_it_ends_with_any_number_of_workers(self, workers: int) -> None:
        """Results come in any order; the search ends, and every request has its result."""
        first = requests(run_search(self.make()))
        for seed in range(3):
            strategy = self.make()
            calls = run_search(strategy, workers=workers, order=Random(seed), repeats=2)
            assert strategy.done and strategy.pending == [] and strategy.ask() is None
            assert all(standing.trained == standing.epochs > 0 for standing in strategy.standings)
            if strategy.order_free or workers == 1:
                assert requests(calls) == first, "it depends on the order, but is order_free"

    @pytest.mark.parametrize("workers", [1, 3])
    def test_it_resumes_after_any_call(self, workers: int) -> None:
        """Killed and restored from its history, it asks for the same jobs and ranks the same."""
        strategy = self.make()
        calls = run_search(strategy, workers=workers, order=Random(0))
        for end in range(0, len(calls), self.every):
            state = json.loads(json.dumps(_recorded(calls[:end]).to_state()))
            resumed = self.make()
            assert History.restore(resumed, state).to_state() == state
            for call in calls[end:]:
                if call.name == "ask":
                    assert resumed.ask() == call.request, f"resumed after call {end}, not the same"
                elif call.request is not None:
                    resumed.tell(call.request, call.accuracy)
            assert resumed.done and resumed.ranking() == strategy.ranking()

    def test_the_ranking_is_sorted(self) -> None:
        """The longest trained come first, then the most accurate; all have a result."""
        strategy = self.make()
        assert strategy.ranking() == []
        run_search(strategy, workers=3)
        ranking = strategy.ranking()
        assert ranking[0].accuracies and ranking[0].trained == max(each.trained for each in ranking)
        order = [(each.trained, each.accuracy) for each in ranking]
        assert order == sorted(order, reverse=True)

    def test_a_failed_training_does_not_win(self) -> None:
        """The search ends although trainings fail, and the best candidate is not one of them."""
        for failing in (0.3, 1.0):
            strategy = self.make()

            def train(request: Request, failing: float = failing) -> float | None:
                chance = derive_seed(1, str(request.genotype)) / 2**63
                return float("nan") if chance < failing else made_up_accuracy(request)

            run_search(strategy, train, workers=3, order=Random(0))
            failed = [each.failed for each in strategy.ranking()]
            assert True in failed and failed == sorted(failed)
            assert failed[0] is (failing == 1.0)

    def test_a_space_smaller_than_the_budget_ends_the_search(self, tmp_path: Path) -> None:
        """The search ends when every computation was proposed, with budget left."""
        path = tmp_path / "tiny.yaml"
        path.write_text(_TINY, encoding="utf-8")
        for workers in (1, 3):
            strategy = self.make(space=str(path))
            run_search(strategy, workers=workers)
            assert strategy.done and 0 < len(strategy.standings) <= 3
            assert strategy.spent < strategy.config.budget


def _proxy(genotype: Genotype) -> float:
    return derive_seed(0, str(genotype)) / 2**63


def _recorded(calls: list[Call]) -> History:
    history = History()
    for call in calls:
        if call.name == "ask":
            history.record_ask(call.request)
        elif call.request is not None:
            history.record_tell(call.request, call.accuracy)
    return history
