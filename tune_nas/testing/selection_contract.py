"""Tests that every selection must pass: reading its genotype changes nothing; known length."""

from __future__ import annotations

import copy
import math

from tune_nas.search import Search, total_epochs
from tune_nas.testing.search_contract import PartContract
from tune_nas.testing.states import differences


class SelectionContract(PartContract):
    """The tests of a selection.

    Attributes:
        kind: ``selection.kind``: a shipped name, or ``module:Class``.
        options: ``selection.options``, for a custom class.
    """

    section = "selection"

    def test_asking_for_the_genotype_changes_nothing(self) -> None:
        """The genotype can be read at any time without changing it or the search."""
        search = Search(self.make_trial())
        while not search.done:
            search.run_epoch()
            before = copy.deepcopy(search.state_dict())
            genotypes = [search.genotype for _ in range(2)]
            assert genotypes[0] == genotypes[1]
            assert differences(before, search.state_dict()) == []

    def test_its_epochs_are_known_beforehand(self) -> None:
        """``tuning_of`` returns the number of epochs of the selection from the trial alone."""
        trial = self.make_trial()
        search = Search(trial)
        assert search.epochs == total_epochs(trial)
        while not search.done:
            search.run_epoch()
        assert search.epoch == total_epochs(trial)

    def test_tuning_epochs_have_a_learning_rate(self) -> None:
        """w's learning rate is finite and not negative in each tuning epoch."""
        search = Search(self.make_trial())
        rates = [search.selection.learning_rate(n) for n in range(search.selection.tuning_epochs)]
        assert all(math.isfinite(rate) and rate >= 0 for rate in rates), rates

    def test_files_are_texts_by_name(self) -> None:
        """The files that the selection adds to a checkpoint are text, under plain file names."""
        search = Search(self.make_trial())
        while not search.done:
            search.run_epoch()
        for name, text in search.selection.files().items():
            assert isinstance(text, str), name
            assert "/" not in name and name
