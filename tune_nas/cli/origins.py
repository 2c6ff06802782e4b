"""Finding the checkpoint of the search that a command names."""

from __future__ import annotations

from tune_nas.cli.option_values import mlflow_uri, store_exists
from tune_nas.sweep.runs.origin import Origin, find_origin
from tune_nas.sweep.runs.storage import Storage


def origin_of(run: str, storage: str, mlflow: str | None) -> Origin:
    """Return the newest checkpoint of a search and its trial.

    Raises:
        StorageError: If no search has this name, or the storage cannot be reached.
        CheckpointError: If none of its checkpoints is intact.
    """
    local = mlflow is not None or Storage(storage).local is not None
    uri = mlflow_uri(mlflow, storage) if local else None
    return find_origin(run, storage, uri if uri is not None and store_exists(uri) else None)
