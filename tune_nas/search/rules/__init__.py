"""Rules: what changes over the epochs of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.search.parts import find_part
from tune_nas.search.rules.rule import Rule

if TYPE_CHECKING:
    from tune_nas.search.search import Search

__all__ = ["Rule", "make_rules"]


def make_rules(search: Search) -> list[Rule]:
    """Build the rules that a trial's ``schedule`` names, in the order in which they act.

    Raises:
        ConfigError: If one does not fit the search, or a user's cannot be had.
    """
    schedule = search.trial.schedule
    known: dict[str, type[Rule]] = {}
    return [find_part("schedule.rules", name, known, Rule)(search) for name in schedule.rules]
