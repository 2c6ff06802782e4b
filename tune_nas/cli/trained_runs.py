"""Finding the network that a command names."""

from __future__ import annotations

from tune_nas.cli.option_values import mlflow_uri, store_exists
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.trained import Trained, find_trained


def trained_of(run: str, storage: str, mlflow: str | None) -> Trained:
    """Return the checkpoints of a retraining run.

    Raises:
        StorageError: If no retraining run has this name, or the storage cannot be reached.
    """
    local = mlflow is not None or Storage(storage).local is not None
    uri = mlflow_uri(mlflow, storage) if local else None
    return find_trained(run, storage, uri if uri is not None and store_exists(uri) else None)
