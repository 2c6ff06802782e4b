"""Rules: changes over the epochs of a search."""

from __future__ import annotations

from tune_nas.config import ScheduleConfig
from tune_nas.search.plugins import running_own_code
from tune_nas.search.rules.early_fixing import EarlyFixing
from tune_nas.search.rules.eigenvalue import EigenvalueRule
from tune_nas.search.rules.rate import LowerRate
from tune_nas.search.rules.rule import Rule
from tune_nas.search.rules.sequential_decisions import SequentialDecisions
from tune_nas.search.rules.stages import Stages
from tune_nas.search.rules.stop import Stop
from tune_nas.search.rules.wipe_out import WipeOut
from tune_nas.search.view import SearchControl
from tune_nas.user_code import load_class

__all__ = [
    "EarlyFixing",
    "EigenvalueRule",
    "LowerRate",
    "Rule",
    "SequentialDecisions",
    "Stages",
    "Stop",
    "WipeOut",
    "make_rules",
    "rule_names",
]


def make_rules(search: SearchControl) -> list[Rule]:
    """Build the rules of a trial's ``schedule``, in the order in which they act.

    Raises:
        ConfigError: If one does not fit the search, or a custom one cannot be loaded.
    """
    schedule = search.trial.schedule
    kinds: dict[str, type[Rule]] = {
        name: load_class("schedule.rules", name, Rule) for name in rule_names(schedule)
    }
    last = kinds.pop("eigenvalue", None)
    rules = [kind(search) for kind in kinds.values()]
    for name in schedule.rules:
        own: type[Rule] = load_class("schedule.rules", name, Rule)
        with running_own_code("schedule.rules", name):
            rules.append(own(search))
    if last is not None:  # it restores what the others have done, too
        rules.append(last(search))
    return rules


def rule_names(schedule: ScheduleConfig) -> list[str]:
    """Return the names of the shipped rules of a schedule, in the order in which they act.

    Custom rules act before ``eigenvalue``.
    """
    named = {
        "stages": bool(schedule.stages),
        "greedy": schedule.greedy is not None,
        "early_fixing": schedule.early_fixing is not None,
        "lr_rule": schedule.lr_rule is not None,
        "wipe_out": schedule.wipe_out is not None,
        "stop": bool(schedule.stop.convolutions or schedule.stop.skips or schedule.stop.settled),
        "eigenvalue": schedule.eigenvalue is not None,
    }
    return [name for name, is_named in named.items() if is_named]
