"""The shipped tasks, and the example of a user's own, keep the contract."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from tune_nas import manifest
from tune_nas.config import TrialConfig
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.testing import TaskContract

SMALL_NETWORK = {
    "retrain.epochs": 2,
    "retrain.batch_size": 16,
    "retrain.init_channels": 2,
    "retrain.cells": 3,
    "retrain.auxiliary_weight": 0.0,
}


class TestSearch(TaskContract):
    task = "search"


class TestSearchWithTuning(TaskContract):
    task = "search"
    trial = "darts-pt"
    epochs = 1
    settings: ClassVar[dict[str, object]] = {
        "selection.perturbation": {"interval": 1, "batches": 1}
    }


class TestRetrain(TaskContract):
    task = "retrain"
    settings = SMALL_NETWORK

    @pytest.fixture(autouse=True)
    def _genotype(self) -> None:
        type(self).genotype = Search(self.make_trial()).genotype.to_yaml()


class TestAnalysis(TaskContract):
    task = "analysis"

    @pytest.fixture(autouse=True)
    def _finished_search(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.folder: Path | None = None
        search = Search(self.make_trial())
        while not search.done:
            search.run_epoch()
        self.folder = tmp_path_factory.mktemp("search")
        search.save(self.folder)

    def make_trial(self) -> TrialConfig:
        if self.folder is None:
            return super().make_trial()
        analysis = {"edges": ["normal:0->2", "reduction:1->2"], "epochs": 1}
        keys = {"start_from": str(self.folder), "analysis": analysis}
        return with_overrides(super().make_trial(), keys)


class TestCandidates(TaskContract):
    task = "candidates"
    settings: ClassVar[dict[str, object]] = {
        **SMALL_NETWORK,
        "strategy": {
            "kind": "successive-halving",
            "budget": 6,
            "levels": [1, 2],
            "halving": {"candidates": 2},
        },
    }


class TestLinearProbe(TaskContract):
    task = "own_tasks:LinearProbe"
    settings: ClassVar[dict[str, object]] = {**SMALL_NETWORK, "retrain.learning_rate": 0.1}


def test_every_shipped_task_is_here() -> None:
    contracts = TaskContract.__subclasses__()
    assert set(manifest.SHIPPED["tasks"]) <= {contract.task for contract in contracts}
