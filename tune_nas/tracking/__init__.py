"""MLflow runs, drawings and the report of a sweep; on the driver alone.

Importing this package imports neither mlflow, ray, torch nor matplotlib: the names below are
loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_nas.tracking.alphas import plot_alphas
    from tune_nas.tracking.axis_plot import plot_axis
    from tune_nas.tracking.cells import draw_cells
    from tune_nas.tracking.figures import render
    from tune_nas.tracking.outcome import stop_reason, summarise_error
    from tune_nas.tracking.report import Report
    from tune_nas.tracking.results import TrialResult
    from tune_nas.tracking.run_writer import End, RunWriter, TrackedTrial
    from tune_nas.tracking.tracked_run import TrackedRun
    from tune_nas.tracking.tracker import Tracker, TrackerSettings

_MODULE_OF = {
    "End": "run_writer",
    "Report": "report",
    "RunWriter": "run_writer",
    "TrackedRun": "tracked_run",
    "TrackedTrial": "run_writer",
    "Tracker": "tracker",
    "TrackerSettings": "tracker",
    "TrialResult": "results",
    "draw_cells": "cells",
    "plot_alphas": "alphas",
    "plot_axis": "axis_plot",
    "render": "figures",
    "stop_reason": "outcome",
    "summarise_error": "outcome",
}

__all__ = [
    "End",
    "Report",
    "RunWriter",
    "TrackedRun",
    "TrackedTrial",
    "Tracker",
    "TrackerSettings",
    "TrialResult",
    "draw_cells",
    "plot_alphas",
    "plot_axis",
    "render",
    "stop_reason",
    "summarise_error",
]


def __getattr__(name: str) -> Any:
    """Load a name's module when the name is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
