"""MLflow runs of searches and sweeps; used by the driver only.

Importing this package imports neither mlflow, ray, torch nor matplotlib: the names below are
loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from tune_nas.tracking.experiment import Experiment
    from tune_nas.tracking.mlflow_tracker import MlflowTracker
    from tune_nas.tracking.run_reader import RunReader
    from tune_nas.tracking.run_writer import End, RunWriter, TrackedTrial
    from tune_nas.tracking.tracked_run import TrackedRun
    from tune_nas.tracking.tracker import Tracker
else:
    __getattr__ = lazily(
        __name__,
        {
            "End": "tune_nas.tracking.run_writer",
            "Experiment": "tune_nas.tracking.experiment",
            "MlflowTracker": "tune_nas.tracking.mlflow_tracker",
            "RunReader": "tune_nas.tracking.run_reader",
            "RunWriter": "tune_nas.tracking.run_writer",
            "TrackedRun": "tune_nas.tracking.tracked_run",
            "TrackedTrial": "tune_nas.tracking.run_writer",
            "Tracker": "tune_nas.tracking.tracker",
        },
    )

__all__ = [
    "End",
    "Experiment",
    "MlflowTracker",
    "RunReader",
    "RunWriter",
    "TrackedRun",
    "TrackedTrial",
    "Tracker",
]
