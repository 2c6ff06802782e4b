"""The keys that a differentiable or a black-box search does not read, and the conditions of these.

A trial with a section ``strategy`` is a black-box search.
"""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.config.conditions import Condition, value_of
from tune_nas.config.section import Content
from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.manifest import is_shipped

_KIND = "strategy.kind"
_OF_SUPERNETS = (
    *("relaxation", "update", "optimizer", "schedule", "selection", "start_from", "probes"),
    *("space.init_channels", "space.cells", "data.augment", "data.single_level"),
    *("runtime.autocast", "runtime.graphs", "runtime.recompute"),
)
"""Keys and sections of differentiable searches alone."""

_DIFFERENTIABLE = Condition(
    ("strategy",),
    lambda trial: trial.get("strategy") is None,
    "a differentiable search (strategy null)",
)


def _kinds(*names: str) -> Condition:
    """Return the condition that the strategy, if there is one, is one of the given ones."""

    def holds(trial: Content) -> bool:
        return trial.get("strategy") is None or value_of(trial, _KIND) in names

    wanted = names[0] if len(names) == 1 else list(names)
    words = " or ".join(f"'{name}'" for name in names)
    return Condition((_KIND,), holds, f"{_KIND} {words}", {_KIND: wanted})


def _is_own(trial: Content) -> bool:
    return trial.get("strategy") is None or not is_shipped("strategies", value_of(trial, _KIND))


STRATEGY_CONDITIONS: Mapping[str, Condition] = {
    "benchmark.simulate": Condition(
        ("strategy",),
        lambda trial: trial.get("strategy") is not None,
        "a black-box search (strategy.kind)",
    ),
    "strategy.promotion": _kinds("successive-halving", "asha", "rank-nosh"),
    "strategy.evolution": _kinds("evolution"),
    "strategy.local_search": _kinds("local-search"),
    "strategy.halving.reduction_factor": _kinds("successive-halving", "asha"),
    "strategy.halving.candidates": _kinds("successive-halving"),
    "strategy.nosh": _kinds("rank-nosh"),
    "strategy.predictor": _kinds("rank-nosh"),
    "strategy.options": Condition((_KIND,), _is_own, f"a custom class (module:Class) as {_KIND}"),
}
"""Conditions of the keys and sections that not all strategies read."""


def search_conditions(key: str) -> list[Condition]:
    """Return the conditions of a dotted key that follow from the kind of search."""
    found = [_DIFFERENTIABLE] if any(_is_in(key, section) for section in _OF_SUPERNETS) else []
    return found + [own for section, own in STRATEGY_CONDITIONS.items() if _is_in(key, section)]


def may_read(strategy: StrategyConfig, key: str) -> bool:
    """Return whether a strategy may read a key of its section; a custom one may read all."""
    content = {"strategy": strategy.to_dict()}
    return _is_own(content) or all(each.holds(content) for each in search_conditions(key))


def _is_in(key: str, section: str) -> bool:
    return f"{key}.".startswith(f"{section}.")
