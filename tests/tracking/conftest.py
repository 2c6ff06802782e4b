"""A store for each test: a copy of one whose tables exist, as creating them takes seconds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tune_nas.tracking import MlflowTracker, RunReader

_FIRST_USE = """
import os, sys
import tune_nas.tracking
heavy = {"mlflow", "ray", "torch", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ
tune_nas.tracking.Experiment("sqlite:///new/mlflow.db", name="first")
import mlflow.telemetry.client
assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
assert mlflow.telemetry.client.get_telemetry_client() is None
"""


@pytest.fixture(scope="session")
def first_use(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which a new process has made a store, and how that process ended."""
    folder = tmp_path_factory.mktemp("first-use")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment.pop("DO_NOT_TRACK", None)
    command = [sys.executable, "-c", _FIRST_USE]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    return folder, done


@pytest.fixture
def store(first_use: tuple[Path, object], tmp_path: Path) -> str:
    """URI of a store without runs."""
    shutil.copy(first_use[0] / "new" / "mlflow.db", tmp_path)
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def tracker(store: str) -> MlflowTracker:
    return MlflowTracker(store)


@pytest.fixture
def reader(store: str) -> RunReader:
    return RunReader(store)
