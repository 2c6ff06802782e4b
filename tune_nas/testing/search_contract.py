"""Tests of a search with any part: reproducible, resumes bit for bit, finds a legal genotype."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from tune_nas.config import TrialConfig, scaled
from tune_nas.library import load_trial, with_overrides
from tune_nas.search import Search
from tune_nas.spaces import Genotype, build_network
from tune_nas.testing.states import differences

SMALL_SPACE = Path(__file__).with_name("small.yaml")
"""A space of two cells with three operations to choose from, in which a search takes a second."""

_SMALL: Mapping[str, object] = {
    "space.name": str(SMALL_SPACE),
    "space.cells": 3,
    "space.init_channels": 2,
    "data.name": "fake",
    "data.train_images": 32,
    "data.resolution": 8,
    "schedule.batch_size": 8,
    "schedule.steps_per_epoch": 1,
    "runtime.device": "cpu",
}


def small_trial(name: str, epochs: int, settings: Mapping[str, object]) -> TrialConfig:
    """Return a trial with a search that takes about a second.

    Args:
        name: Name or path of the trial.
        epochs: Epochs of the search.
        settings: Further dotted keys.
    """
    trial = load_trial(name)
    length = scaled(trial.to_dict(), epochs)
    return with_overrides(trial, {**length, **_SMALL, **settings})


class SearchContract:
    """The tests of every search with a given part; the other contracts derive from it.

    Attributes:
        trial: The trial in which the part is used, by name or path.
        settings: Further dotted keys of the trial.
        epochs: Epochs of the search.
    """

    trial: ClassVar[str] = "darts-1st"
    settings: ClassVar[Mapping[str, object]] = {}
    epochs: ClassVar[int] = 3

    def part_settings(self) -> dict[str, object]:
        """Return the dotted keys that select the part."""
        return {}

    def make_trial(self) -> TrialConfig:
        """Return the trial of the tests."""
        return small_trial(self.trial, self.epochs, {**self.part_settings(), **self.settings})

    def test_the_same_seed_gives_the_same_search(self) -> None:
        """Two searches of one trial are equal bit for bit, whatever torch has sampled before."""
        first, second = Search(self.make_trial()), Search(self.make_trial())
        for number, search in enumerate((first, second)):
            torch.manual_seed(number)
            while not search.done:
                search.run_epoch()
        found = differences(first.state_dict(), second.state_dict())
        assert not found, f"not the same: {', '.join(found)}"

    def test_it_resumes_bit_for_bit(self, tmp_path: Path) -> None:
        """Resumed from the checkpoint of any epoch, the next epoch equals the uninterrupted one."""
        search = Search(self.make_trial())
        states = []
        while not search.done:
            search.save(tmp_path / str(search.epoch))
            search.run_epoch()
            states.append(copy.deepcopy(search.state_dict()))
        for epoch, after in enumerate(states):
            resumed = Search(self.make_trial())
            resumed.load(tmp_path / str(epoch))
            resumed.run_epoch()
            found = differences(after, resumed.state_dict())
            assert not found, f"after epoch {epoch + 1}, not the same: {', '.join(found)}"
        assert resumed.done, "the search ends at another epoch when it is resumed"
        assert resumed.genotype == search.genotype

    def test_the_genotype_is_one_of_the_space(self) -> None:
        """The genotype is legal, survives a round trip through text, and makes a network."""
        search = Search(self.make_trial())
        while not search.done:
            search.run_epoch()
        genotype = search.genotype
        genotype.check(search.space)
        assert Genotype.from_yaml(genotype.to_yaml()) == genotype
        network = build_network(genotype, search.space, n_classes=10, init_channels=4, cells=3)
        assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)

    def test_metrics_are_numbers(self) -> None:
        """Every metric of every epoch is a number, and losses are finite."""
        search = Search(self.make_trial())
        while not search.done:
            metrics = search.run_epoch()
            check_numbers(metrics)
            assert math.isfinite(metrics["valid_loss"])


class PartContract(SearchContract):
    """The tests of a search with the part that a section names, for a kind of part to derive from.

    Attributes:
        section: The section that names the part in its key ``kind``.
        kind: A shipped name, or ``module:Class``.
        options: The key ``options`` of the section, for a custom class.
    """

    section: ClassVar[str]
    kind: ClassVar[str]
    options: ClassVar[Mapping[str, object]] = {}

    def part_settings(self) -> dict[str, object]:
        """Return the dotted keys that select the part."""
        own = {f"{self.section}.options": dict(self.options)} if self.options else {}
        return {f"{self.section}.kind": self.kind, **own}


def check_numbers(metrics: Mapping[str, object]) -> None:
    """Assert that every metric is a number."""
    words = {key: value for key, value in metrics.items() if not _is_number(value)}
    assert words == {}, f"metrics that are not numbers: {words}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
