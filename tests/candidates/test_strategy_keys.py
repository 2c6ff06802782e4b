"""The declared effects of keys on black-box searches, against searches with other values."""

from __future__ import annotations

from typing import Any

import pytest
from small_searches import HALVING, epochs_of, small_trial

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.config.effects import no_effect, set_keys
from tune_nas.config.strategy_conditions import STRATEGY_CONDITIONS
from tune_nas.library import load_trial, read_yaml, with_overrides
from tune_nas.shipped import find, shipped_names
from tune_nas.user_code import declared_reads

TRIALS = [name for name in shipped_names("trial") if load_trial(name).strategy is not None]
INEFFECTIVE: dict[str, Any] = {
    "space.init_channels": 4,
    "space.cells": 5,
    "data.augment.cutout": 2,
    "data.single_level": "all",
    "relaxation.kind": "sigmoid",
    "update.level": "single",
    "optimizer.weights.learning_rate": 0.5,
    "schedule.epochs": 7,
    "schedule.batch_size": 3,
    "schedule.steps_per_epoch": 2,
    "selection.max_skips": {"normal": 0},
    "runtime.autocast": True,
    "runtime.graphs": "never",
    "strategy.evolution.population": 3,
    "strategy.local_search.start": 3,
    "strategy.nosh.pool": 20,
    "strategy.nosh.proxy": None,
    "strategy.predictor.loss": "regression",
}
EFFECTIVE: dict[str, Any] = {
    "seed": 1,
    "data.train_portion": 0.25,
    "retrain.learning_rate": 0.2,
    "retrain.init_channels": 4,
    "strategy.kind": "random",
    "strategy.budget": 12,
    "strategy.levels": [1, 2],
    "strategy.promotion": "restart",
    "strategy.halving.candidates": 3,
    "strategy.halving.reduction_factor": 4,
}


def run(trial: TrialConfig) -> list[dict[str, float]]:
    return epochs_of(CandidateSearch(trial))


@pytest.fixture(scope="module")
def usual() -> list[dict[str, float]]:
    return run(small_trial(HALVING))


def test_keys_without_effect_change_no_bit(usual: list[dict[str, float]]) -> None:
    trial = small_trial(HALVING)
    assert [key for key in INEFFECTIVE if no_effect(trial, key, declared_reads) is None] == []
    assert run(with_overrides(trial, INEFFECTIVE)) == usual


@pytest.mark.parametrize("key", EFFECTIVE)
def test_another_value_of_a_key_with_effect_changes_the_search(
    key: str, usual: list[dict[str, float]]
) -> None:
    trial = small_trial(HALVING)
    assert no_effect(trial, key, declared_reads) is None
    assert run(with_overrides(trial, {key: EFFECTIVE[key]})) != usual


def test_conditions_are_of_keys_and_are_not_listed_for_differentiable_searches() -> None:
    keys = list(dotted_keys(TrialConfig))
    for section in STRATEGY_CONDITIONS:
        assert any(f"{key}.".startswith(f"{section}.") for key in keys), section
    trial = load_trial("darts-1st")
    listed = [key for key in keys if no_effect(trial, key, declared_reads)]
    assert not any(key.startswith("strategy") for key in listed)


@pytest.mark.parametrize("name", TRIALS)
def test_shipped_trials_give_no_key_without_effect(name: str) -> None:
    trial = load_trial(name)
    given = [key for key, _ in set_keys(read_yaml(find("trial", name)))]
    assert [key for key in given if no_effect(trial, key, declared_reads)] == []
