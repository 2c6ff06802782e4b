"""Sweeps: many searches as Ray Tune trials, their comparison, and resuming after a crash.

Importing this package imports neither ray, optuna, mlflow nor torch: the names below are loaded
when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_nas.sweep.config import SweepConfig
    from tune_nas.sweep.cost import Estimate, estimate
    from tune_nas.sweep.options import RunOptions
    from tune_nas.sweep.outcome import SweepOutcome
    from tune_nas.sweep.resolve import load_sweep, resolve_trials
    from tune_nas.sweep.runner import resume_sweep, run_retrain, run_search, run_sweep
    from tune_nas.sweep.trainable import EpochTrainable

_MODULE_OF = {
    "EpochTrainable": "trainable",
    "Estimate": "cost",
    "RunOptions": "options",
    "SweepConfig": "config",
    "SweepOutcome": "outcome",
    "estimate": "cost",
    "load_sweep": "resolve",
    "resolve_trials": "resolve",
    "resume_sweep": "runner",
    "run_retrain": "runner",
    "run_search": "runner",
    "run_sweep": "runner",
}

__all__ = [
    "EpochTrainable",
    "Estimate",
    "RunOptions",
    "SweepConfig",
    "SweepOutcome",
    "estimate",
    "load_sweep",
    "resolve_trials",
    "resume_sweep",
    "run_retrain",
    "run_search",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    """Load the module of a name when the name is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
