"""What values amount to, against the searches that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from searching import DARTS, UNEQUAL_BY_NATURE, tiny_trial

from tune_nas.config import TrialConfig
from tune_nas.config.conditions import value_of
from tune_nas.library import load_trial, with_overrides
from tune_nas.search import Search
from tune_nas.search.effective import EffectiveValues

UNSAMPLED = "relaxation.unsampled"
GDAS = {"relaxation.kind": "gumbel"}
SIGMOID = {"relaxation.kind": "sigmoid"}
PADDING, CUTOUT = "data.augment.crop_padding", "data.augment.cutout"
REFERENCE, FLIP = "data.augment.reference_size", "data.augment.flip"

# settings, a key, two of its values, and whether they make the same search
CASES: list[tuple[dict[str, Any], str, Any, Any, bool]] = [
    ({}, "relaxation.init", "auto", "normal", True),
    (SIGMOID, "relaxation.init", "auto", "uniform-weight", True),
    (SIGMOID, "relaxation.init", "auto", "normal", False),
    ({}, "relaxation.init_std", None, 1e-3, True),
    ({}, "relaxation.init_std", None, 0.0, False),
    (SIGMOID, "relaxation.init_std", None, 0.0, True),
    (GDAS, UNSAMPLED, "auto", "as-numbers", True),
    (GDAS, UNSAMPLED, "auto", "left-out", False),
    ({**GDAS, "space": DARTS}, UNSAMPLED, "auto", "left-out", True),
    ({"space.init_channels": None}, "space.cells", None, 5, True),
    ({"space.cells": 1}, "space.init_channels", None, 16, True),
    ({"space": DARTS}, "space.skeleton", None, "thirds", True),
    ({"space": DARTS}, "space.skeleton", None, "imagenet", False),
    ({}, "data.resolution", 8, None, True),
    ({}, "data.train_images", 64, 63, False),
    ({"data.augment.flip": False}, PADDING, 4, 5, True),
    ({"data.augment.flip": False}, PADDING, 4, 8, False),
    ({}, FLIP, "auto", False, True),
    ({}, FLIP, "auto", True, False),
    ({PADDING: 0}, REFERENCE, 32, 16, True),
    ({}, REFERENCE, 32, 16, False),
    ({}, CUTOUT, 0, 1, True),
    ({}, CUTOUT, 0, 4, False),
]


def searched(trial: TrialConfig) -> tuple[list[dict[str, float]], str]:
    """Return the metrics of two epochs and the genotype."""
    search = Search(with_overrides(trial, {"schedule.epochs": 2}))
    while not search.done:
        search.run_epoch()
    metrics = [
        {key: value for key, value in epoch.items() if key not in UNEQUAL_BY_NATURE}
        for epoch in search.history
    ]
    return metrics, search.genotype.to_yaml()


@pytest.mark.parametrize(("settings", "key", "one", "other", "same"), CASES)
def test_equal_effective_values_are_equal_searches(
    settings: dict[str, Any], key: str, one: Any, other: Any, same: bool
) -> None:
    base = with_overrides(tiny_trial(), settings)
    trials = [with_overrides(base, {key: value}) for value in (one, other)]
    first, second = map(EffectiveValues([key]).of, trials)
    assert (first == second) is same
    assert (searched(trials[0]) == searched(trials[1])) is same


@pytest.mark.parametrize("key", ["retrain.init_channels", "retrain.cells"])
def test_a_final_network_has_the_size_of_its_space(key: str) -> None:
    """DARTS: 36 channels, 20 cells. NAS-Bench-201: 16 channels, 5 cells per stage."""
    sizes = {"retrain.init_channels": (36, 16), "retrain.cells": (20, 5)}
    for space, size in zip(("darts", "nasbench201"), sizes[key], strict=True):
        trial = load_trial("darts-1st", {"space.name": space, key: None})
        assert value_of(EffectiveValues([key]).of(trial), key) == size


def test_other_keys_stay_as_they_are_and_nothing_is_read(tmp_path: Path) -> None:
    trial = load_trial("darts-1st", {"space.name": str(tmp_path / "none.yaml")})
    keys = ["optimizer.alphas.learning_rate", "update.order"]
    assert EffectiveValues(keys).of(trial) == trial.to_dict()
