"""Recipes have the papers' settings, and learning rates are those of the authors' schedules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.config import RetrainConfig, TrialConfig
from tune_nas.config.recipes import read_recipe, recipe_names
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, stored_trial, with_overrides
from tune_nas.retrain.learning_rate import learning_rate

# Typed from the papers and the authors' code:
# epochs, batch, channels, cells, rate, weight decay, nesterov, clip, drop path, auxiliary, cutout
PUBLISHED = {
    "darts-cifar": (600, 96, 36, 20, 0.025, 3e-4, False, 5, 0.2, 0.4, 16),
    "pc-darts-cifar": (600, 96, 36, 20, 0.025, 3e-4, False, 5, 0.3, 0.4, 16),
    "drnas-cifar": (600, 64, 36, 20, 0.025, 3e-4, False, 5, 0.3, 0.4, 16),
    "p-darts-cifar": (600, 128, 36, 20, 0.025, 3e-4, False, 5, 0.3, 0.4, 16),
    "nasbench201": (200, 256, 16, 5, 0.1, 5e-4, True, 0, 0, 0, 0),
}

# batch, rate, schedule, decay, epochs of warm-up; the others are the same for all
ON_IMAGENET = {
    "darts-imagenet": (128, 0.1, "exponential", 0.97, 0),
    "p-darts-imagenet": (1024, 0.5, "linear", None, 5),
    "pc-darts-imagenet": (1024, 0.5, "linear", None, 5),
}


@pytest.mark.parametrize("name", ON_IMAGENET)
def test_a_recipe_for_imagenet_has_the_published_settings(name: str) -> None:
    r = RetrainConfig.model_validate({"recipe": name})
    decay = r.lr_decay if r.lr_schedule == "exponential" else None
    assert ON_IMAGENET[name] == (
        *(r.batch_size, r.learning_rate, r.lr_schedule, decay, r.warmup_epochs),
    )
    assert (r.epochs, r.skeleton, r.init_channels, r.cells) == (250, "imagenet", 48, 14)
    assert (r.weight_decay, r.momentum, r.nesterov, r.clip) == (3e-5, 0.9, False, 5)
    assert (r.auxiliary_weight, r.label_smoothing, r.drop_path) == (0.4, 0.1, 0)
    augment = r.augment
    assert (augment.crop, augment.crop_scale, augment.cutout) == ("resized", (0.08, 1.0), 0)
    assert (augment.flip, augment.color_jitter) == ("auto", (0.4, 0.4, 0.4, 0.2))


def test_the_rates_for_imagenet_are_those_of_the_authors() -> None:
    darts, p_darts = (rates(recipe=name) for name in ("darts-imagenet", "p-darts-imagenet"))
    assert darts == pytest.approx([0.1 * 0.97**epoch for epoch in range(250)], rel=1e-12)
    expected = [0.5 * (245 - epoch) / 245 for epoch in range(245)]
    expected += [0.5 * (250 - epoch) / (5 * 245) for epoch in range(245, 250)]
    for epoch in range(5):
        expected[epoch] *= (epoch + 1) / 5
    assert p_darts == pytest.approx(expected, rel=1e-12)
    assert rates(recipe="pc-darts-imagenet") == p_darts


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_has_the_published_settings(name: str) -> None:
    r = RetrainConfig.model_validate({"recipe": name})
    assert PUBLISHED[name] == (
        *(r.epochs, r.batch_size, r.init_channels, r.cells, r.learning_rate, r.weight_decay),
        *(r.nesterov, r.clip, r.drop_path, r.auxiliary_weight, r.augment.cutout),
    )
    assert (r.momentum, r.lr_schedule, r.learning_rate_min) == (0.9, "cosine", 0)
    assert (r.label_smoothing, r.warmup_epochs) == (0, 0)
    assert (r.augment.crop_padding, r.augment.reference_size) == (4, 32)
    assert r.recipe == name


def test_there_are_no_other_recipes_and_each_sets_every_key_that_it_can() -> None:
    assert set(recipe_names()) == PUBLISHED.keys() | ON_IMAGENET.keys()
    left = {"recipe", "skeleton", "lr_decay", "lr_step_epochs", "warmup_epochs"}
    left |= {"accumulation_steps", "ema_decay", "autocast"}
    for name in PUBLISHED:
        assert read_recipe(name).keys() == RetrainConfig.model_fields.keys() - left
    for name in ON_IMAGENET:
        assert read_recipe(name).keys() - left == RetrainConfig.model_fields.keys() - left


def test_the_defaults_are_those_of_darts() -> None:
    recipe = RetrainConfig.model_validate({"recipe": "darts-cifar"}).to_dict()
    sizes = {"recipe": None, "init_channels": None, "cells": None}
    assert {**recipe, **sizes} == RetrainConfig().to_dict()


def test_keys_beside_a_recipe_win() -> None:
    trial = load_trial(
        "darts-1st",
        {"retrain.recipe": "nasbench201", "retrain.epochs": 12, "retrain.augment.cutout": 8},
    )
    assert (trial.retrain.epochs, trial.retrain.batch_size) == (12, 256)
    assert (trial.retrain.augment.cutout, trial.retrain.augment.crop_padding) == (8, 4)


def test_a_recipe_replaces_the_settings_of_a_trial() -> None:
    small: dict[str, Any] = {"retrain": {"epochs": 2, "cells": 3, "drop_path": 0.1}}
    trial = TrialConfig.model_validate(small)
    assert with_overrides(trial, {"retrain.recipe": "drnas-cifar"}).retrain == (
        RetrainConfig.model_validate({"recipe": "drnas-cifar"})
    )
    again = with_overrides(trial, {"retrain.recipe": "drnas-cifar", "retrain.epochs": 3})
    assert (again.retrain.epochs, again.retrain.cells) == (3, 20)
    # the same recipe again changes nothing
    assert with_overrides(again, {"retrain.recipe": "drnas-cifar"}) == again


def test_a_resolved_trial_keeps_its_values_through_yaml() -> None:
    trial = load_trial("darts-1st", {"retrain.recipe": "p-darts-cifar", "retrain.clip": 1.0})
    content = yaml.safe_load(yaml.safe_dump(trial.to_dict()))
    assert stored_trial(content, "it") == trial


def test_a_trial_of_an_earlier_version_has_no_recipe() -> None:
    content = load_trial("darts-1st").to_dict()
    for key in ("recipe", "skeleton", "lr_schedule", "lr_decay", "lr_step_epochs", "warmup_epochs"):
        del content["retrain"][key]
    assert stored_trial(content, "it") == load_trial("darts-1st")


def custom(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> TrialConfig:
    """Return a trial with the function ``short`` of a module as its recipe."""
    name = f"recipes_{folder.name}"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    return load_trial("darts-1st", {"retrain.recipe": f"{name}:short", "retrain.batch_size": 32})


def test_a_custom_recipe_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def short():\n    return {'epochs': 3, 'batch_size': 64, 'augment': {'cutout': 5}}"
    trial = custom(tmp_path, text, monkeypatch)
    assert (trial.retrain.epochs, trial.retrain.batch_size) == (3, 32)  # what is set wins
    assert (trial.retrain.augment.cutout, trial.retrain.learning_rate) == (5, 0.025)
    content = trial.to_dict()
    content["retrain"]["recipe"] = "a_module_that_was_removed:short"
    assert stored_trial(content, "it").retrain.epochs == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'recipes_.*:short', but must be a function or a class in that module"),
        ("import nowhere", "but importing it fails: No module named 'nowhere'"),
        ("def short():\n    raise OSError('full')", "but calling it fails: full"),
        ("def short():\n    return 3", "but must return a mapping of other keys"),
        ("def short():\n    return {'recipe': 'a:b'}", "must return a mapping of other keys"),
        ("def short():\n    return {'epoch': 3}", r"retrain\.epoch"),
    ],
)
def test_a_bad_custom_recipe_is_one_line(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        custom(tmp_path, text, monkeypatch)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "dart-cifar"}, "retrain.recipe is 'dart-cifar', .*did you mean 'darts-cifar'"),
        ({"epochs": 3, "warmup_epochs": 4}, r"warmup_epochs is 4, but must be <= .*epochs \(3\)"),
        ({"lr_decay": 0}, "retrain.lr_decay is 0, but must be > 0"),
        ({"lr_schedule": "cosin"}, "retrain.lr_schedule is 'cosin', but must be"),
    ],
)
def test_bad_values_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_trial("darts-1st", {f"retrain.{key}": value for key, value in settings.items()})


def rates(**settings: Any) -> list[float]:
    recipe = RetrainConfig.model_validate(settings)
    return [learning_rate(recipe, epoch) for epoch in range(recipe.epochs)]


def test_exponential_is_that_of_darts_on_imagenet() -> None:
    found = rates(epochs=250, learning_rate=0.1, lr_schedule="exponential", lr_decay=0.97)
    expected = 0.1
    for rate in found:  # torch's StepLR(step_size=1, gamma=0.97)
        assert rate == pytest.approx(expected, rel=1e-12)
        expected *= 0.97


def test_steps() -> None:
    found = rates(epochs=7, learning_rate=1.0, lr_schedule="step", lr_decay=0.1, lr_step_epochs=3)
    assert found == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01], rel=1e-12)


def test_linear_is_that_of_p_darts() -> None:
    found = rates(epochs=250, learning_rate=0.5, lr_schedule="linear")
    assert found[0] == 0.5
    assert found[100] == pytest.approx(0.5 * 145 / 245, rel=1e-12)
    assert found[244] == pytest.approx(0.5 / 245, rel=1e-12)
    tail = [0.5 * left / (5 * 245) for left in (5, 4, 3, 2, 1)]
    assert found[245:] == pytest.approx(tail, rel=1e-12)
    assert rates(epochs=4, learning_rate=1.0, lr_schedule="linear") == [1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "exponential", "step"])
def test_a_warm_up_scales_the_first_epochs_of_any_schedule(schedule: str) -> None:
    plain = rates(epochs=20, learning_rate=0.5, lr_schedule=schedule)
    warm = rates(epochs=20, learning_rate=0.5, lr_schedule=schedule, warmup_epochs=5)
    factors = [0.2, 0.4, 0.6, 0.8, *[1.0] * 16]
    assert warm == pytest.approx([f * r for f, r in zip(factors, plain, strict=True)], rel=1e-12)
