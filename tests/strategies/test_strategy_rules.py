"""The rules of the base class: budget, results, failed trainings, restarts, wrong proposals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.errors import ConfigError
from tune_nas.spaces import load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import Request, Strategy, StrategyInputs, make_strategy
from tune_nas.testing.made_up_training import requests, run_search

Build = Callable[..., Strategy]


def test_the_budget_ends_the_search(build: Build) -> None:
    strategy = build("random", budget=40, levels=(12,))
    asked = requests(run_search(strategy))
    assert [request.cost for request in asked] == [12, 12, 12] and strategy.spent == 36
    assert strategy.done and strategy.ask() is None


def test_a_budget_below_one_candidate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"strategy\.budget is 11, but must be >= 12, the epochs"):
        StrategyConfig(budget=11, levels=(4, 12))


def test_none_while_results_are_awaited(build: Build) -> None:
    strategy = build("evolution", budget=400, evolution={"population": 2})
    first, second = strategy.ask(), strategy.ask()
    assert first is not None and second is not None
    assert strategy.ask() is None and strategy.ask() is None and not strategy.done
    strategy.tell(second, 0.2)
    assert strategy.ask() is None and strategy.pending == [first]
    strategy.tell(first, 0.1)
    assert strategy.ask() is not None


def test_a_result_is_told_once_and_for_a_job_that_was_asked(build: Build) -> None:
    strategy = build("random")
    request = strategy.ask()
    assert request is not None
    for wrong in (replace(request, number=7), replace(request, epochs=11)):
        with pytest.raises(ValueError, match=rf"request {wrong.number} was not returned by ask"):
            strategy.tell(wrong, 0.5)
    strategy.tell(request, 0.5)
    with pytest.raises(ValueError, match="request 0 was answered before"):
        strategy.tell(request, 0.5)
    assert strategy.standings[0].accuracies == {12: 0.5}


@pytest.mark.parametrize("failed", [None, math.nan, math.inf, -math.inf])
def test_a_failed_training_is_ranked_last(build: Build, failed: float | None) -> None:
    strategy = build("successive-halving", levels=(1, 2), halving={"candidates": 3})
    accuracies = {(0, 1): 0.9, (1, 1): 0.5, (2, 1): failed, (0, 2): failed}
    for _ in range(4):
        request = strategy.ask()
        assert request is not None
        strategy.tell(request, accuracies[request.candidate, request.epochs])
    # Candidate 0 failed at the second level, although it was the best at the first.
    assert [standing.candidate for standing in strategy.ranking()] == [1, 0, 2]
    assert strategy.standings[2].failed and strategy.standings[2].accuracy == -math.inf


@pytest.mark.parametrize(("promotion", "costs"), [("continue", [3, 9]), ("restart", [3, 12])])
def test_a_promotion_continues_or_restarts(build: Build, promotion: str, costs: list[int]) -> None:
    strategy = build("asha", levels=(3, 12), budget=50, promotion=promotion)
    jobs = []
    for accuracy in (0.5, 0.4, 0.6):
        request = strategy.ask()
        assert request is not None
        jobs.append(request)
        strategy.tell(request, accuracy)
    assert [(job.candidate, job.epochs) for job in jobs] == [(0, 3), (1, 3), (0, 12)]
    assert [job.cost for job in jobs[1:]] == costs and strategy.spent == 3 + sum(costs)
    assert jobs[2].start == (3 if promotion == "continue" else 0)
    assert strategy.standings[0].accuracies == {3: 0.5, 12: 0.6}


class Scripted(Strategy):
    """Proposes what a test sets."""

    wanted: Callable[[Scripted], Request | None]

    def propose(self) -> Request | None:
        """Return the job that was set."""
        return type(self).wanted(self)


ARCHITECTURES = Architectures(load_space("nasbench201"))
FIRST = ARCHITECTURES.sample(Random(0))
FOREIGN = Architectures(load_space("darts")).sample(Random(0))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda s: s.new(FIRST, 2), "an earlier candidate computes the same as |"),
        (lambda s: s.new(next(s.architectures.neighbors(FIRST)), 3), "3 epochs are not among"),
        (lambda s: s.promotion(s.standings[0], 4), "it has a result after 0, and 2 were requested"),
        (lambda s: replace(s.new(FIRST, 2), candidate=5), r"must come from new\(\) or promotion"),
        (lambda s: replace(s.new(FIRST, 2), number=0), r"must come from new\(\) or promotion"),
        (lambda s: replace(s.new(FIRST, 2), start=1), r"must come from new\(\) or promotion"),
        (lambda _: 3, r"propose\(\) must return a job or None, but returns 3"),
        (lambda s: s.new(None, 2), "a new candidate must be a genotype, but is None"),
        (lambda s: s.new(FOREIGN, 2), "space 'nasbench201' has the cells normal, but the genotype"),
    ],
)
def test_a_wrong_proposal_is_an_error(
    second: Callable[[Scripted], Request], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = Scripted(StrategyInputs(ARCHITECTURES, StrategyConfig(levels=(2, 4)), 0))
    monkeypatch.setattr(Scripted, "wanted", lambda s: s.new(FIRST, 2), raising=False)
    assert strategy.ask() is not None
    monkeypatch.setattr(Scripted, "wanted", second)
    with pytest.raises(ConfigError, match=message.replace("|", r"\|")):
        strategy.ask()
    assert strategy.spent == 2 and len(strategy.pending) == 1


def test_a_candidate_is_not_trained_to_the_same_level_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strategy = Scripted(StrategyInputs(ARCHITECTURES, StrategyConfig(levels=(2, 4)), 0))
    monkeypatch.setattr(Scripted, "wanted", lambda s: s.new(FIRST, 4), raising=False)
    request = strategy.ask()
    assert request is not None
    strategy.tell(request, 0.5)
    monkeypatch.setattr(Scripted, "wanted", lambda s: s.promotion(s.standings[0], 2))
    with pytest.raises(ValueError, match="candidate 0 cannot be trained to 2 epochs"):
        strategy.ask()


CUSTOM = """
import sys
from tune_nas.strategies import Strategy

class Leaves(Strategy):
    def __init__(self, inputs):
        sys.exit(3)
    def propose(self):
        return None

class Abstract(Strategy):
    pass

number = 3
"""


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("random", {"a": 1}, "strategy.options do not fit 'random': "),
        ("own_strategies_of_a_test:number", {}, "must be a class derived from Strategy"),
        ("own_strategies_of_a_test:Leaves", {}, "calls sys.exit (3)"),
        ("own_strategies_of_a_test:Abstract", {}, "but this class has no propose()"),
        ("own_strategies_of_a_test:Nope", {}, "must be a class derived from Strategy"),
        ("absent_module_of_a_test:Nope", {}, "but importing it fails"),
    ],
)
def test_a_class_that_cannot_be_built_is_one_line(
    kind: str,
    options: dict[str, object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "own_strategies_of_a_test.py").write_text(CUSTOM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as error:
        make_strategy(StrategyInputs(ARCHITECTURES, StrategyConfig(kind=kind, options=options), 0))
    assert message in str(error.value) and "\n" not in str(error.value)
