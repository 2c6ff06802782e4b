"""Several settings of retraining: a sweep's dry run, and the options of `tune-nas retrain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from tune_nas.config import TrialConfig
from tune_nas.sweep.retrain_grid import RetrainGrid

SMALL = {
    "data.train_images": 32,
    "space.init_channels": 2,
    "space.cells": 3,
    "schedule.epochs": 1,
    "schedule.batch_size": 16,
    "retrain.cells": 3,
    "retrain.auxiliary_weight": 0.0,
}
NARROW = {"name": "narrow", "recipe": "darts-cifar", "init_channels": 4}
WIDE = {"name": "wide", "recipe": "pc-darts-cifar", "init_channels": 8}
SWEEP = {
    "trial": "milenas",
    "set": SMALL,
    "parameters": {"update.lambda": {"grid": [0, 1]}},
    "retrain": {"recipes": [NARROW, WIDE], "seeds": 2},
}
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def test_a_dry_run_counts_every_run_and_writes_nothing(command_line) -> None:
    Path("grid.yaml").write_text(json.dumps(SWEEP), encoding="utf-8")
    plan = command_line.json("sweep", "grid.yaml", "--dry-run")
    assert (plan["estimate"]["searches"], plan["estimate"]["retrains"]) == (2, 8)
    assert plan["sweep"]["retrain"]["recipes"] == [NARROW, WIDE]
    text = command_line.ok("sweep", "grid.yaml", "--dry-run", "--retrain", "1")
    assert "each genotype: 4 retraining runs under narrow and wide, with 2 seeds each" in text
    assert "2 searches and 4 retraining runs" in text
    assert [path.name for path in Path().iterdir()] == ["grid.yaml"]


def test_settings_that_amount_to_the_same_end_a_dry_run(command_line) -> None:
    same = {**NARROW, "name": "same", "recipe": "darts-cifar"}
    content = {**SWEEP, "retrain": {"recipes": [NARROW, same]}}
    Path("grid.yaml").write_text(json.dumps(content), encoding="utf-8")
    message = command_line.refused("sweep", "grid.yaml", "--dry-run")
    assert message == (
        "sweep 'grid': retrain.recipes: 'same' amounts to the same training as 'narrow'; give one "
        "of them"
    )


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `tune-nas retrain` runs; nothing is run."""
    found: dict[str, Any] = {}

    def run_retrain(trial: TrialConfig, *_: object, **options: object) -> None:
        found.update(options, trial=trial)
        raise typer.Exit

    monkeypatch.setattr("tune_nas.sweep.run_retrain", run_retrain, raising=False)
    return found


def test_recipes_seeds_and_keys_of_every_recipe(command_line, given: dict[str, Any]) -> None:
    recipes = ["--recipe", "darts-cifar", "--recipe", "nasbench201", "--seeds", "3"]
    keys = ["--epochs", "5", "--set", "retrain.lr_schedule=step", "--set", "retrain.lr_decay=0.5"]
    command_line.ok("retrain", CELL, *recipes, *keys, "--seed", "4")
    shared = {"epochs": 5, "lr_schedule": "step", "lr_decay": 0.5}
    assert given["grid"] == RetrainGrid(
        recipes=[
            {"name": "darts-cifar", "recipe": "darts-cifar", **shared},
            {"name": "nasbench201", "recipe": "nasbench201", **shared},
        ],
        seeds=3,
    )
    assert given["trial"].seed == 4


def test_without_them_there_is_no_grid(command_line, given: dict[str, Any]) -> None:
    command_line.ok("retrain", CELL, "--epochs", "5")
    assert (given["grid"], given["trial"].retrain.epochs) == (None, 5)
    command_line.ok("retrain", CELL, "--epochs", "5", "--seeds", "2")
    assert given["grid"] == RetrainGrid(seeds=2)
    assert given["trial"].retrain.epochs == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "darts-cifar"] * 2, "--recipe: retrain.recipes has 'darts-cifar' twice"),
        (
            ["--recipe", "darts-cifar", "--set", "retrain.recipe=nasbench201"],
            "--recipe and --set retrain.recipe say the same; give one",
        ),
        (["--recipe", "dart-cifar"], "retrain.recipe is 'dart-cifar', but must be one of"),
        (["--recipe", "darts-cifar", "--set", "retrain.epoch=3"], "unknown key 'retrain.epoch'"),
        (
            ["--recipe", "darts-cifar", "--set", "retrain.lr_decay=0.5"],
            "setting 'darts-cifar': retrain.lr_decay is 0.5, but has no effect",
        ),
        (["--seeds", "0"], "'--seeds': must be >= 1"),
    ],
)
def test_bad_input_is_one_line(command_line, options: list[str], message: str) -> None:
    assert message in command_line.refused("retrain", CELL, *options)
