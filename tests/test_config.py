from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tune_nas.config import AugmentConfig, SpaceConfig, TrialConfig
from tune_nas.library import dotted_keys, load_trial, stored_trial, with_overrides
from tune_nas.shipped import shipped_names

counts = st.integers(1, 1000)
rates = st.floats(0, 1e6, allow_nan=False)
fractions = st.floats(0, 1)
portions = st.floats(0, 1, exclude_min=True, exclude_max=True)
probabilities = st.floats(0, 1, exclude_max=True)
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@st.composite
def updates(draw: st.DrawFn) -> dict[str, Any]:
    """Every legal combination of level, order and λ."""
    level = draw(st.sampled_from(["single", "bilevel", "mixed"]))
    content = {
        "level": level,
        "order": 1 if level == "single" else draw(st.sampled_from([1, 2])),
        "sequence": draw(st.sampled_from(["simultaneous", "weights-first", "alphas-first"])),
        "hessian": draw(st.sampled_from(["finite-difference", "exact"])),
        "epsilon": draw(st.floats(0, 10, exclude_min=True)),
        "unrolled_momentum": draw(st.booleans()),
        "second_order_form": draw(st.sampled_from(["eq6", "train-weighted"])),
    }
    if level == "mixed":
        key, values = draw(
            st.sampled_from(
                [
                    ("lambda", st.one_of(st.floats(0, allow_nan=False), st.just("inf"))),
                    ("lambda_prime", fractions),
                ]
            )
        )
        content[key] = draw(values)
    return content


augments = st.fixed_dictionaries(
    {"crop_padding": st.integers(0, 8), "flip": st.booleans(), "cutout": st.integers(0, 32)}
)
contents = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "description": st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
        "seed": st.integers(0, 2**31 - 1),
        "space": st.one_of(
            names, st.fixed_dictionaries({"name": names}, optional={"cells": counts})
        ),
        "data": st.fixed_dictionaries(
            {"name": st.sampled_from(["digits", "cifar10", "cifar100", "folder", "fake"])},
            optional={
                "dir": names,
                "train_images": st.none() | counts,
                "train_portion": portions,
                "split": st.sampled_from(["seed", "fixed"]),
                "augment": augments,
            },
        ),
        "update": updates(),
        "optimizer": st.fixed_dictionaries(
            {},
            optional={
                "weights": st.fixed_dictionaries({"learning_rate": rates, "clip": rates}),
                "alphas": st.fixed_dictionaries(
                    {
                        "betas": st.tuples(probabilities, probabilities).map(list),
                        "weight_decay": rates,
                    }
                ),
            },
        ),
        "schedule": st.fixed_dictionaries({"epochs": counts}, optional={"batch_size": counts}),
        "runtime": st.fixed_dictionaries(
            {"dtype": st.sampled_from(["float32", "float64"])},
            optional={"compile": st.sampled_from(["auto", "never"])},
        ),
        "retrain": st.fixed_dictionaries({"drop_path": probabilities, "augment": augments}),
    },
)


@given(contents)
@settings(max_examples=60, deadline=None)
def test_a_trial_survives_yaml(content: dict[str, Any]) -> None:
    trial = TrialConfig.model_validate(content)
    text = yaml.safe_dump(trial.to_dict(), allow_unicode=True)
    assert TrialConfig.model_validate(yaml.safe_load(text)) == trial


@given(contents, st.sampled_from(["schedule.epochs", "retrain.cells"]), counts)
@settings(max_examples=20, deadline=None)
def test_an_override_changes_its_key_alone(content: dict[str, Any], key: str, value: int) -> None:
    trial = TrialConfig.model_validate(content)
    section, name = key.split(".")
    before, after = trial.to_dict(), with_overrides(trial, {key: value}).to_dict()
    assert after[section].pop(name) == value
    before[section].pop(name)
    assert after == before


def test_short_forms_of_space_and_data() -> None:
    trial = TrialConfig.model_validate({"space": "nasbench201", "data": "cifar10"})
    assert (trial.space.name, trial.data.name) == ("nasbench201", "cifar10")
    assert trial.space == SpaceConfig(name="nasbench201")


def test_the_short_form_of_a_simulation() -> None:
    short = {"strategy": {"kind": "random"}, "space": "nasbench201", "benchmark": "simulate"}
    assert TrialConfig.model_validate(short).benchmark.simulate == "cifar10"
    as_data = {**short, "benchmark": {"simulate": "imagenet16-120"}}
    assert TrialConfig.model_validate(as_data).benchmark.simulate == "imagenet16_120"
    with pytest.raises(ValidationError, match="benchmark"):
        TrialConfig.model_validate({**short, "benchmark": "simulated"})


def test_values_as_yaml_and_the_command_line_give_them() -> None:
    trial = with_overrides(
        {},
        {
            "update.level": "mixed",
            "update.lambda": "inf",
            "update.order": "2",
            "optimizer.weights.learning_rate": "1e-3",
        },
    )
    assert trial.update.lambda_ == float("inf")
    assert trial.update.order == 2
    assert trial.optimizer.weights.learning_rate == 0.001


def test_a_trial_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrialConfig().seed = 3  # type: ignore[misc]


def test_dotted_keys_are_the_leaves_with_their_yaml_names() -> None:
    keys = set(dotted_keys(TrialConfig))
    assert {"seed", "update.lambda", "data.augment.cutout", "retrain.augment.flip"} <= keys
    assert "update.lambda_" not in keys
    assert "update" not in keys


def test_the_papers_values_are_the_defaults() -> None:
    trial = TrialConfig()
    assert (trial.schedule.epochs, trial.schedule.batch_size) == (50, 64)
    weights, alphas = trial.optimizer.weights, trial.optimizer.alphas
    assert (weights.learning_rate, weights.learning_rate_min) == (0.025, 0.001)
    assert (alphas.learning_rate, alphas.betas, alphas.weight_decay) == (3e-4, (0.5, 0.999), 1e-3)
    assert (trial.retrain.epochs, trial.retrain.batch_size) == (600, 96)
    # For CIFAR's 32 pixels; on those `fitted` gives these numbers (tests/data/test_augment.py).
    published = AugmentConfig(crop_padding=4, flip="auto", cutout=16, reference_size=32)
    assert trial.retrain.augment == published
    assert trial.data.augment == published.model_copy(update={"cutout": 0})


def test_names_of_shipped_files_are_told_apart() -> None:
    names = [name for kind in ("trial", "space", "sweep") for name in shipped_names(kind)]
    assert len(set(names)) == len(names)


def test_a_stored_trial_keeps_the_rules_of_the_version_that_wrote_it() -> None:
    """A key that it lacks stands for what trials did before the key existed."""
    pt, gdas, darts = (load_trial(name).to_dict() for name in ("darts-pt", "gdas", "darts-1st"))
    assert stored_trial(pt, "it").selection.perturbation.edges == "alone"
    assert stored_trial(gdas, "it").relaxation.unsampled == "auto"
    for content in (pt, gdas, darts):
        del content["selection"]["perturbation"]["edges"], content["relaxation"]["unsampled"]
    assert stored_trial(pt, "it").selection.perturbation.edges == "one-by-one"
    assert stored_trial(gdas, "it").relaxation.unsampled == "as-numbers"
    # what reads neither of them has their defaults: another selection can follow from it
    assert stored_trial(darts, "it") == load_trial("darts-1st")
    assert stored_trial(gdas, "it").selection == load_trial("gdas").selection


def test_a_stored_retraining_that_blanked_its_images_scales_its_cutout() -> None:
    """Stored before sizes could scale, as the sweeps on the digits were by default."""

    def stored(**data: object) -> dict[str, object]:
        augment = {"crop_padding": 4, "flip": True, "cutout": 16}
        return {"data": data, "retrain": {"augment": augment}}

    def reference(content: dict[str, object]) -> int | None:
        return stored_trial(content, "trial").retrain.augment.reference_size

    assert reference(stored(name="digits")) == 32
    assert reference(stored(name="folder", resolution=20)) == 32
    assert reference(stored(name="folder", resolution=21)) is None
    assert reference(stored(name="cifar10")) is None
    assert reference(stored(name="digits", resolution=32)) is None
    chosen = stored(name="digits")
    chosen["retrain"] = {"augment": {"crop_padding": 1, "cutout": 2}}
    assert reference(chosen) is None
