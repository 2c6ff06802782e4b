"""The shipped strategies, and the example of a custom one, keep the contract."""

from __future__ import annotations

from typing import ClassVar

from tune_nas.testing import StrategyContract

Settings = dict[str, object]


class TestRandomSearch(StrategyContract):
    kind = "random"


class TestEvolution(StrategyContract):
    kind = "evolution"
    settings: ClassVar[Settings] = {"evolution": {"population": 10, "sample_size": 3}}


class TestLocalSearch(StrategyContract):
    kind = "local-search"
    settings: ClassVar[Settings] = {"local_search": {"start": 3}}


class TestSuccessiveHalving(StrategyContract):
    kind = "successive-halving"
    settings: ClassVar[Settings] = {"halving": {"candidates": 16}}


class TestAsha(StrategyContract):
    kind = "asha"


class TestMutateTheBest(StrategyContract):
    kind = "own_strategy:MutateTheBest"
    options: ClassVar[Settings] = {"explore": 0.2}
