"""MLflow runs, drawings and the report of a sweep; on the driver alone.

Importing this package imports neither mlflow, ray, torch nor matplotlib: the names below are
loaded when they are first used.
"""

from __future__ import annotations

from tune_nas.tracking.results import TrialResult

__all__ = ["TrialResult"]
