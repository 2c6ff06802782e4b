"""Synthetic results of trials."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_nas.report import TrialResult

sys.path.insert(0, str(Path(__file__).parent))  # for made_up_sweep.py


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
            "phase": "search",
            "parameters": {"update.lambda": value},
            "seed": seed,
            "status": "finished",
            "metrics": metrics,
        }
        return TrialResult(**{**content, **changes})  # type: ignore[arg-type]

    return make
