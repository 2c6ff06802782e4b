"""Rules: changes over the epochs of a search."""

from __future__ import annotations

from tune_nas.search.plugins import running_own_code
from tune_nas.search.rules.eigenvalue import EigenvalueRule
from tune_nas.search.rules.rate import LowerRate
from tune_nas.search.rules.rule import Rule
from tune_nas.search.rules.sequential_decisions import SequentialDecisions
from tune_nas.search.rules.stages import Stages
from tune_nas.search.rules.stop import Stop
from tune_nas.search.view import SearchControl
from tune_nas.user_code import load_class

__all__ = [
    "EigenvalueRule",
    "LowerRate",
    "Rule",
    "SequentialDecisions",
    "Stages",
    "Stop",
    "make_rules",
]


def make_rules(search: SearchControl) -> list[Rule]:
    """Build the rules of a trial's ``schedule``, in the order in which they act.

    Raises:
        ConfigError: If one does not fit the search, or a custom one cannot be loaded.
    """
    schedule = search.trial.schedule
    named = {
        "stages": bool(schedule.stages),
        "greedy": schedule.greedy is not None,
        "lr_rule": schedule.lr_rule is not None,
        "stop": bool(schedule.stop.convolutions or schedule.stop.skips),
    }
    kinds: list[type[Rule]] = [
        load_class("schedule.rules", name, Rule) for name, is_named in named.items() if is_named
    ]
    rules = [kind(search) for kind in kinds]
    for name in schedule.rules:
        own: type[Rule] = load_class("schedule.rules", name, Rule)
        with running_own_code("schedule.rules", name):
            rules.append(own(search))
    if schedule.eigenvalue is not None:  # last: it restores what the others have done, too
        last: type[Rule] = load_class("schedule.rules", "eigenvalue", Rule)
        rules.append(last(search))
    return rules
