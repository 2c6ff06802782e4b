"""Sweeps: many searches as Ray Tune trials, their comparison, and resuming after a crash.

Importing this package imports neither ray, optuna, mlflow nor torch: the names below are loaded
when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from tune_nas.sweep.analysis_run import read_analysis, run_analysis
    from tune_nas.sweep.config import SweepConfig
    from tune_nas.sweep.cost import Estimate, estimate
    from tune_nas.sweep.extension import Extension
    from tune_nas.sweep.options import RunOptions
    from tune_nas.sweep.outcome import SweepOutcome
    from tune_nas.sweep.ray.trainable import EpochTrainable
    from tune_nas.sweep.resolve import load_sweep, resolve_trials
    from tune_nas.sweep.retrain_grid import RetrainGrid
    from tune_nas.sweep.runner import (
        extend_sweep,
        resume_sweep,
        run_retrain,
        run_search,
        run_sweep,
        start_analysis,
    )
else:
    __getattr__ = lazily(
        __name__,
        {
            "EpochTrainable": "tune_nas.sweep.ray.trainable",
            "Estimate": "tune_nas.sweep.cost",
            "Extension": "tune_nas.sweep.extension",
            "RetrainGrid": "tune_nas.sweep.retrain_grid",
            "RunOptions": "tune_nas.sweep.options",
            "SweepConfig": "tune_nas.sweep.config",
            "SweepOutcome": "tune_nas.sweep.outcome",
            "estimate": "tune_nas.sweep.cost",
            "extend_sweep": "tune_nas.sweep.runner",
            "load_sweep": "tune_nas.sweep.resolve",
            "read_analysis": "tune_nas.sweep.analysis_run",
            "resolve_trials": "tune_nas.sweep.resolve",
            "resume_sweep": "tune_nas.sweep.runner",
            "run_analysis": "tune_nas.sweep.analysis_run",
            "run_retrain": "tune_nas.sweep.runner",
            "run_search": "tune_nas.sweep.runner",
            "run_sweep": "tune_nas.sweep.runner",
            "start_analysis": "tune_nas.sweep.runner",
        },
    )

__all__ = [
    "EpochTrainable",
    "Estimate",
    "Extension",
    "RetrainGrid",
    "RunOptions",
    "SweepConfig",
    "SweepOutcome",
    "estimate",
    "extend_sweep",
    "load_sweep",
    "read_analysis",
    "resolve_trials",
    "resume_sweep",
    "run_analysis",
    "run_retrain",
    "run_search",
    "run_sweep",
    "start_analysis",
]
