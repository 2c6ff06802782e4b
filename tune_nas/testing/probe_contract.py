"""Tests that every probe must pass: it changes no result, survives a kill, and adds plain files."""

from __future__ import annotations

import copy
from pathlib import PurePath
from typing import ClassVar

import torch

from tune_nas.search import Search
from tune_nas.testing.search_contract import SearchContract
from tune_nas.testing.states import differences


class ProbeContract(SearchContract):
    """The tests of a probe.

    Attributes:
        probe: An entry of ``probes``: ``module:Class``.
    """

    probe: ClassVar[str]

    def part_settings(self) -> dict[str, object]:
        """Return the dotted keys that select the probe."""
        return {"probes": [self.probe]}

    def test_the_search_is_the_same_without_it(self) -> None:
        """All w, α, decisions and metrics are equal bit for bit, and torch's own generator too."""
        trial = self.make_trial()
        observed = Search(trial)
        alone = Search(trial.model_copy(update={"probes": []}))
        generators = []
        for search in (observed, alone):
            torch.manual_seed(0)
            while not search.done:
                search.run_epoch()
            generators.append(torch.get_rng_state())
        own, expected = observed.state_dict(), alone.state_dict()
        keys = [key for key in expected if key not in ("trial", "probes", "history")]
        found = differences({k: own[k] for k in keys}, {k: expected[k] for k in keys})
        assert not found, f"the probe changes the search: {', '.join(found)}"
        for metrics, before in zip(observed.history, alone.history, strict=True):
            kept = {key: metrics[key] for key in before}
            assert not differences(kept, before), "the probe changes metrics of the search"
        assert observed.genotype == alone.genotype
        assert torch.equal(*generators), "the probe samples from torch's own generator"

    def test_reading_its_files_changes_nothing(self) -> None:
        """Its files are text or bytes by plain name, and the same whenever they are read."""
        search = Search(self.make_trial())
        others = Search(self.make_trial().model_copy(update={"probes": []})).artifacts().keys()
        while not search.done:
            search.run_epoch()
            before = copy.deepcopy(search.state_dict())
            files = search.artifacts()
            for name in files.keys() - others:
                assert name not in ("", ".", "..") and PurePath(name).name == name
                assert isinstance(files[name], str | bytes), name
            assert search.artifacts() == files
            assert differences(before, search.state_dict()) == []
