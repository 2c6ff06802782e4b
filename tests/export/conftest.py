"""Small retraining runs and their checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from trained_runs import DARTS, MakeRun

from tune_nas.config import TrialConfig
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Train a genotype for an epoch and save it; returns the run and its checkpoint's folder."""

    def make(
        genotype: Genotype = DARTS, *, data: dict[str, Any] | None = None, **recipe: Any
    ) -> tuple[Retrain, str]:
        small = {"epochs": 1, "batch_size": 32, "init_channels": 4, "cells": 3, **recipe}
        trial = TrialConfig.model_validate(
            {
                "space": {"name": genotype.space},
                "data": {"name": "fake", "train_images": 64, **(data or {})},
                "runtime": {"device": "cpu"},
                "retrain": small,
            }
        )
        run = Retrain(trial, genotype)
        run.run_epoch()
        run.save(tmp_path / "checkpoint")
        return run, str(tmp_path / "checkpoint")

    return make
