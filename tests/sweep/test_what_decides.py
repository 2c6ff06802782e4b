"""The digest by which finished trials are found; empty with code of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tune_nas.config import TrialConfig
from tune_nas.library import load_trial
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.sharing.finished_trials import Reuse
from tune_nas.tasks import Inputs

GENOTYPE = "normal: [[skip_connect, 0, 1], [op, 0, 2], [skip_connect, 1, 2]]"


def digest(trial: TrialConfig, task: str = "search") -> str:
    inputs = Inputs(genotype=GENOTYPE) if task == "retrain" else Inputs()
    return Reuse().decided_by(Job("a", task, task, trial, inputs=inputs))


def trial_in(folder: Path, operations: list[str], **more: Any) -> TrialConfig:
    cell = {"inputs": 1, "nodes": 2, "operations": operations, "output": "last"}
    skeleton = {"layout": "stages", "init_channels": 4, "cells": 1}
    path = folder / "sp.yaml"
    path.write_text(yaml.safe_dump({"cells": {"normal": cell}, "skeleton": skeleton, **more}))
    return load_trial("darts-1st", {"space.name": str(path), "data.name": "digits"})


def test_own_operations(tmp_path: Path) -> None:
    """The code of an operation may have changed since a trial of another run has finished."""
    (tmp_path / "of_the_user.py").write_text(
        "from torch import nn\n\n\ndef op(channels, stride, norm):\n"
        "    return nn.Conv2d(channels, channels, 3, stride, 1)\n"
    )
    trial = trial_in(tmp_path, ["skip_connect", "of_the_user:op"])
    assert digest(trial) == digest(trial, "retrain") == ""
    shipped = trial_in(tmp_path, ["skip_connect", "sep_conv_3x3"])
    assert digest(shipped) and digest(shipped, "retrain")


def test_an_edited_space(tmp_path: Path) -> None:
    first = digest(trial_in(tmp_path, ["skip_connect", "avg_pool_3x3"]))
    assert digest(trial_in(tmp_path, ["skip_connect", "max_pool_3x3"])) != first
    assert digest(trial_in(tmp_path, ["skip_connect", "avg_pool_3x3"], description="a")) == first
