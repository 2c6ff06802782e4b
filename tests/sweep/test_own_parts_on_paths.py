"""Workers find custom operations and data sets on PYTHONPATH and in the current directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.sweep
EXAMPLES = Path(__file__).parents[2] / "examples"
TUNE_NAS = Path(sys.executable).parent / "tune-nas"


def test_a_sweep_of_the_command_line_with_own_operations_and_data(tmp_path: Path) -> None:
    """Neither module is beside the sweep, the space or the trial that names it."""
    here, library, files = (tmp_path / name for name in ("here", "library", "files"))
    for folder in (here, library, files):
        folder.mkdir()
    shutil.copy(EXAMPLES / "own_data.py", here / "data_of_here.py")
    shutil.copy(EXAMPLES / "own_operations.py", library / "operations_of_library.py")
    space = (EXAMPLES / "own-operations.yaml").read_text(encoding="utf-8")
    (files / "space.yaml").write_text(
        space.replace("own_operations:", "operations_of_library:"), encoding="utf-8"
    )
    sweep = {
        "trial": "gdas",
        "set": {
            "space": {"name": str(files / "space.yaml"), "init_channels": 2, "cells": 1},
            "data": {"name": "data_of_here:stripes", "train_images": 32},
            "schedule": {"epochs": 2, "batch_size": 8},
            "retrain": {"epochs": 1, "init_channels": 2, "cells": 1, "auxiliary_weight": 0.0},
        },
        "parameters": {"relaxation.options.temperature.end": {"grid": [0.5, 1.0]}},
        "retrain": 1,
    }
    (files / "sweep.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")
    command = [str(TUNE_NAS), "sweep", str(files / "sweep.yaml"), "--storage", "runs"]
    done = subprocess.run(
        [*command, "--format", "json", "--quiet"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout)
    assert comparison["axes"] == ["relaxation.options.temperature.end"]
    rows = comparison["rows"]
    assert sorted(row["values"]["relaxation.options.temperature.end"] for row in rows) == [0.5, 1.0]
    assert [row["failed"] + row["retrains_failed"] for row in rows] == [0, 0]
    assert sum("retrain/test_accuracy" in row["statistics"] for row in rows) == 1
