"""The benchmark's published loop: a step of it moves w and α as a step of this project does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tune_nas.library import load_trial
from tune_nas.search import Search
from tune_nas.search.update import Update

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY: dict[str, Any] = {
    "space.init_channels": 4,
    "space.cells": 3,
    "data.name": "fake",
    "data.resolution": 8,
    "data.train_images": 32,
    "schedule.batch_size": 8,
    "update.warmup": 0,
    "runtime.dtype": "float64",
    "runtime.implementation": "plain",
    "runtime.device": "cpu",
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "darts, first order": ("darts-1st", {}),
    "darts, second order": ("darts-2nd", {}),
    "milenas, alphas first": ("milenas", {"update.sequence": "alphas-first"}),
    "milenas, weights first": ("milenas", {"update.sequence": "weights-first"}),
    "single level": ("single-level", {"update.sequence": "simultaneous"}),
    "gdas": ("gdas", {"space.name": "nasbench201"}),
    "pc-darts": ("pc-darts", {}),
    "drnas": ("drnas", {}),
}


@pytest.fixture
def published_step() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    from published import PublishedStep

    yield PublishedStep
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("case", CASES)
def test_two_published_steps_are_two_steps_of_this_project(case: str, published_step: Any) -> None:
    name, changes = CASES[case]
    trial = load_trial(name, {**TINY, **changes})
    ours, theirs = Search(trial), Search(trial)
    before = [parameter.detach().clone() for parameter in ours.alphas.values()]
    loop = published_step(theirs)
    rate = trial.optimizer.weights.learning_rate
    ours.optimizers.set_learning_rate(rate)
    for search in (ours, theirs):
        search.relaxation.set_epoch(0, trial.schedule.epochs)
        search.supernet.train()
    update = Update(trial.update, ours.objective)
    batches = list(ours.data.evaluation_batches(ours.data.train, 8))
    for train, valid in (batches[:2], batches[:2][::-1]):
        own = valid if update.needs_valid else None
        update.step(
            train,
            own,
            step_weights=ours.optimizers.step_weights,
            step_alphas=ours.optimizers.step_alphas,
            sgd=ours.optimizers.sgd_state,
        )
        loop.step(train, own)
    for mine, published in zip(
        ours.supernet.parameters(), theirs.supernet.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, published, rtol=1e-8, atol=1e-10)
    for start, (cell, alpha) in zip(before, ours.alphas.items(), strict=True):
        torch.testing.assert_close(alpha, theirs.alphas[cell], rtol=1e-7, atol=1e-9)
        assert not torch.equal(alpha, start)
