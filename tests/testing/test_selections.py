"""The shipped selections, and the example of a user's own, keep the contract."""

from __future__ import annotations

from typing import ClassVar

from tune_nas.search import selection_names
from tune_nas.testing import SelectionContract


class TestMagnitude(SelectionContract):
    kind = "magnitude"


class TestGreedy(SelectionContract):
    kind = "greedy"
    trial = "sgas"
    settings: ClassVar[dict[str, object]] = {
        "schedule.epochs": 5,
        "schedule.greedy.warmup": 0,
        "schedule.greedy.every": 1,
    }


class TestPerturbation(SelectionContract):
    kind = "perturbation"
    epochs = 1
    settings: ClassVar[dict[str, object]] = {
        "selection.perturbation": {"interval": 1, "batches": 1}
    }


class TestSampled(SelectionContract):
    kind = "sampled"
    settings: ClassVar[dict[str, object]] = {"selection.sampled.genotypes": 2}


class TestMostCertain(SelectionContract):
    kind = "own_parts:MostCertain"
    options: ClassVar[dict[str, object]] = {"power": 0.5}


def test_every_shipped_selection_is_here() -> None:
    contracts = SelectionContract.__subclasses__()
    assert set(selection_names()) <= {contract.kind for contract in contracts}
