"""The names of MLflow that are used here; MLflow is imported when one is first used.

The import takes seconds and reads the environment, which `tune_nas.tracking.store.connect` prepares
before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import (
        Dataset,
        DatasetInput,
        InputTag,
        LoggedModelOutput,
        Metric,
        Param,
        Run,
        RunTag,
    )
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, infer_signature
    from mlflow.models.model import MLMODEL_FILE_NAME
    from mlflow.pytorch import load_model, save_model
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
else:
    __getattr__ = lazily(
        __name__,
        {
            "ArtifactRepository": "mlflow.store.artifact.artifact_repo",
            "Dataset": "mlflow.entities",
            "DatasetInput": "mlflow.entities",
            "InputTag": "mlflow.entities",
            "LoggedModelOutput": "mlflow.entities",
            "MLMODEL_FILE_NAME": "mlflow.models.model",
            "Metric": "mlflow.entities",
            "MlflowClient": "mlflow",
            "MlflowException": "mlflow.exceptions",
            "Model": "mlflow.models",
            "Param": "mlflow.entities",
            "Run": "mlflow.entities",
            "RunTag": "mlflow.entities",
            "get_artifact_repository": "mlflow.store.artifact.artifact_repository_registry",
            "infer_signature": "mlflow.models",
            "load_model": "mlflow.pytorch",
            "save_model": "mlflow.pytorch",
        },
    )

__all__ = [
    "MLMODEL_FILE_NAME",
    "ArtifactRepository",
    "Dataset",
    "DatasetInput",
    "InputTag",
    "LoggedModelOutput",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "Model",
    "Param",
    "Run",
    "RunTag",
    "get_artifact_repository",
    "infer_signature",
    "load_model",
    "save_model",
]
