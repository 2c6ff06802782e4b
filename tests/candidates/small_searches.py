"""Small black-box searches, whose candidates take milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.candidates.candidate_trial import candidate_trial
from tune_nas.config import TrialConfig
from tune_nas.data import DataSource
from tune_nas.library import with_overrides
from tune_nas.retrain import Retrain
from tune_nas.testing.search_contract import SMALL_SPACE
from tune_nas.testing.states import UNEQUAL_BY_NATURE

RANDOM = {"kind": "random", "budget": 7, "levels": [3]}
HALVING = {
    "kind": "successive-halving",
    "budget": 15,  # 4 · 1 + 2 · 2 + 1 · 2 = 10, and a second bracket that is cut short
    "levels": [1, 3, 5],
    "halving": {"candidates": 4},
}
RESTARTING = {**HALVING, "promotion": "restart", "levels": [1, 3], "budget": 10}


def small_trial(strategy: dict[str, Any], **settings: Any) -> TrialConfig:
    """Return the trial of a black-box search on 32 images of 8 pixels."""
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    small = {
        "space.name": str(SMALL_SPACE),
        "data.name": "fake",
        "data.train_images": 32,
        "data.resolution": 8,
        "retrain.init_channels": 2,
        "retrain.cells": 3,
        "retrain.batch_size": 8,
        "runtime.device": "cpu",
        "strategy": strategy,
    }
    return with_overrides(TrialConfig(), {**small, **keys})


def epochs_of(search: CandidateSearch, folder: Path | None = None) -> list[dict[str, float]]:
    """Run a search to its end; with a folder, save a checkpoint before each epoch and at the end.

    Returns:
        The metrics of each epoch without times and memory, and the remarks.
    """
    found = []
    while not search.done:
        if folder is not None:
            search.save(folder / str(search.epoch))
        found.append(lasting(search.run_epoch()))
    if folder is not None:
        search.save(folder / str(search.epoch))
    return found


def lasting(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics that are equal when an epoch is repeated."""
    return {key: value for key, value in metrics.items() if key not in UNEQUAL_BY_NATURE}


def images_of(search: CandidateSearch) -> DataSource:
    """Return the images of the candidates of a search that is not simulated."""
    assert isinstance(search.data, DataSource)
    return search.data


def trained(search: CandidateSearch, number: int, epochs: int) -> Retrain:
    """Return the training of a candidate after some epochs, on its own from the beginning."""
    genotype = search.jobs.strategy.standings[number].genotype
    training = Retrain(
        candidate_trial(search.trial, genotype, epochs), genotype, data=images_of(search)
    )
    torch.manual_seed(number)  # nothing may use torch's global generator
    for _ in range(epochs):
        training.run_epoch()
    return training
