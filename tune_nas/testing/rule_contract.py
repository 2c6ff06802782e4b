"""Tests that every rule must pass: it survives a kill, and gives a reason if it ends a search."""

from __future__ import annotations

from typing import ClassVar

from tune_nas.search import Search
from tune_nas.testing.search_contract import SearchContract


class RuleContract(SearchContract):
    """The tests of a rule.

    Attributes:
        rule: An entry of ``schedule.rules``: ``module:Class``. A shipped rule leaves it empty, and
            is turned on by ``settings``.
    """

    rule: ClassVar[str] = ""

    def part_settings(self) -> dict[str, object]:
        """Return the dotted keys that select the rule."""
        return {"schedule.rules": [self.rule]} if self.rule else {}

    def test_it_is_one_of_the_searchs_rules(self) -> None:
        """The settings enable a rule."""
        assert Search(self.make_trial()).rules

    def test_a_search_that_it_ends_has_a_reason(self) -> None:
        """A search that ends early gives the reason, and runs no epoch after that."""
        trial = self.make_trial()
        search = Search(trial)
        while not search.done:
            search.run_epoch()
        if search.search_epochs < trial.schedule.epochs:
            assert search.stop_reason, "the search was stopped without a reason"
        assert search.epoch == search.epochs
