"""Any search, with any failures, number of concurrent jobs and order of results."""

from __future__ import annotations

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.seeds import derive_seed
from tune_nas.spaces import load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import History, Request, Strategy, StrategyInputs, make_strategy
from tune_nas.testing.made_up_training import made_up_accuracy, run_search

ARCHITECTURES = Architectures(load_space("nasbench201"))
KINDS = ("random", "evolution", "local-search", "successive-halving", "asha", "rank-nosh")


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    levels=st.sets(st.integers(1, 9), min_size=1, max_size=4).map(lambda found: sorted(found)),
    more=st.integers(0, 90),
    promotion=st.sampled_from(["continue", "restart"]),
    factor=st.floats(1.05, 5),
    size=st.integers(1, 9),
    failing=st.sampled_from([0.0, 0.2, 0.9]),
    workers=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_it_ends_within_the_budget_and_resumes(
    kind: str,
    levels: list[int],
    more: int,
    promotion: str,
    factor: float,
    size: int,
    failing: float,
    workers: int,
    seed: int,
) -> None:
    keys = {
        "budget": levels[-1] + more,
        "levels": levels,
        "promotion": promotion,
        "halving": {"reduction_factor": factor, "candidates": size},
        "evolution": {"population": size, "sample_size": 3},
        "local_search": {"start": size},
        "nosh": {"proposals": size + 1, "pool": 2 * size + 3, "sampled": 20, "keep": 0.6},
        "predictor": {"width": 4, "depth": 1, "epochs": 2},
    }
    config = StrategyConfig.model_validate({"kind": kind, **keys})

    def make() -> Strategy:
        return make_strategy(StrategyInputs(ARCHITECTURES, config, seed))

    def train(request: Request) -> float | None:
        chance = derive_seed(seed, str(request.genotype)) / 2**63
        return None if chance < failing else made_up_accuracy(request)

    strategy, history, order = make(), History(), Random(seed)
    while not strategy.done:
        while len(strategy.pending) < workers:
            request = strategy.ask()
            history.record_ask(request)
            if request is None:
                break
        if strategy.pending:
            request = order.choice(strategy.pending)
            accuracy = train(request)
            strategy.tell(request, accuracy)
            history.record_tell(request, accuracy)
        if order.random() < 0.1:  # killed and resumed
            state = json.loads(json.dumps(history.to_state()))
            resumed = make()
            history = History.restore(resumed, state)
            assert resumed.standings == strategy.standings
            assert resumed.pending == strategy.pending and resumed.spent == strategy.spent
            strategy = resumed
    assert 0 < strategy.spent <= config.budget
    assert all(each.trained == each.epochs in levels for each in strategy.standings)
    failed = [each.failed for each in strategy.ranking()]
    assert failed == sorted(failed) and len(failed) == len(strategy.standings)
    if strategy.order_free:
        plain = make()
        run_search(plain, train)
        assert strategy.standings == plain.standings
    # Failed candidates are never trained further.
    for standing in strategy.standings:
        assert all(standing.accuracies[e] > float("-inf") for e in sorted(standing.accuracies)[:-1])
