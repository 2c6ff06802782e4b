"""The names of MLflow that are used here; MLflow is imported when one is first used.

The import takes seconds and reads the environment, which `tune_nas.tracking.store.connect` prepares
before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
else:
    __getattr__ = lazily(
        __name__,
        {
            "ArtifactRepository": "mlflow.store.artifact.artifact_repo",
            "Metric": "mlflow.entities",
            "MlflowClient": "mlflow",
            "MlflowException": "mlflow.exceptions",
            "Param": "mlflow.entities",
            "Run": "mlflow.entities",
            "get_artifact_repository": "mlflow.store.artifact.artifact_repository_registry",
        },
    )

__all__ = [
    "ArtifactRepository",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "Param",
    "Run",
    "get_artifact_repository",
]
