"""A store for each test: a copy of one whose tables exist, as making them takes seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_nas.tracking import Tracker, TrialResult

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"


_FIRST_USE = """
import os, sys
import tune_nas.tracking
heavy = {"mlflow", "ray", "torch", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ
tune_nas.tracking.Tracker("sqlite:///new/mlflow.db", experiment="first")
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
def tracker(store: str) -> Tracker:
    return Tracker(store)


@pytest.fixture
def darts_v2() -> str:
    return DARTS_V2


@pytest.fixture
def nb201() -> str:
    return NB201


@pytest.fixture
def make_result() -> Callable[..., TrialResult]:
    """Make a finished search of a λ: `make_result(1.0, 91.5, seed=0, gap=2.0)`."""

    def make(value: object, accuracy: float | None = None, **changes: object) -> TrialResult:
        seed = changes.pop("seed", 0)
        metrics = dict(changes.pop("metrics", {}))  # type: ignore[call-overload]
        if accuracy is not None:
            metrics["valid_accuracy"] = accuracy
        content = {
            "trial_id": f"{value}-{seed}",
            "stage": "search",
            "parameters": {"update.lambda": value},
            "seed": seed,
            "status": "finished",
            "metrics": metrics,
        }
        return TrialResult(**{**content, **changes})  # type: ignore[arg-type]

    return make
