"""Ray's workers import the operations that a space's file names, also for retraining."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_nas.library import load_trial
from tune_nas.spaces import load_space
from tune_nas.sweep import RunOptions, run_retrain, run_search

pytestmark = pytest.mark.sweep
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_workers_import_the_operations_of_a_space(tmp_path: Path, ray_session: None) -> None:
    """The module is on no path: it is found in the folder of the space's file."""
    for name in ("own_operations.py", "own-operations.yaml"):
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        renamed = name.replace("own", "workers")
        text = text.replace("own_operations", "workers_operations")
        text = text.replace('register_operation("median', 'register_operation("workers_median')
        (tmp_path / renamed).write_text(text, encoding="utf-8")
    space = tmp_path / "workers-operations.yaml"
    settings = {
        "space": {"name": str(space), "init_channels": 2},
        "data": {"name": "fake", "train_images": 32, "resolution": 8},
        "schedule.epochs": 1,
        "schedule.batch_size": 8,
        "retrain": {"epochs": 1, "init_channels": 2, "cells": 1, "auxiliary_weight": 0.0},
    }
    trial = load_trial("darts-1st", settings)
    options = RunOptions(storage=str(tmp_path / "runs"), quiet=True)
    (searched,) = run_search(trial, options).results
    assert searched.status == "finished"
    conv, median = load_space(space).cells["normal"].operations[0][1:]
    cell = f"|{conv}~0|+|{median}~0|skip_connect~1|+|skip_connect~0|{conv}~1|skip_connect~2|"
    outcome = run_retrain(trial, cell, options, "retrained")
    (retrained,) = outcome.results
    assert (retrained.phase, retrained.status) == ("retrain", "finished")
