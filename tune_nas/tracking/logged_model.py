"""Trained networks as models of MLflow runs, which MLflow loads without this package."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tune_nas.errors import ExportError
from tune_nas.export.export import check_logits
from tune_nas.export.export_format import Exportable
from tune_nas.tracking import mlflow_names as mlflow
from tune_nas.tracking.experiment import Experiment
from tune_nas.tracking.store import store_error
from tune_nas.tracking.tracked_run import SWEEP_RUN, TrackedRun

_NAMES = {False: "network", True: "normalizing-network"}
"""Name of the model, by whether it normalizes its images."""
_READY = "READY"


@dataclass(frozen=True)
class LoggedModel:
    """A model of a run.

    Args:
        uri: Its URI, ``models:/m-…``.
        name: Its name; a run has at most one model of each name.
        difference: The largest difference of a logit between it and the network.
    """

    uri: str
    name: str
    difference: float


def log_network(store: Experiment, run: TrackedRun, network: Exportable) -> LoggedModel:
    """Log a network as a model of the run that trained it.

    It is first saved to a temporary folder, loaded back and compared on random images, so that the
    store never has a model with other logits. The model has the parameters of the run and the
    metrics of the network's last epoch.

    Args:
        store: The experiment of the run.
        run: The run; it may have ended.
        network: The network.

    Returns:
        The model.

    Raises:
        ExportError: If the run has a model of this kind already, or the logits differ by more than
            `tune_nas.export.export.TOLERANCE`.
        StorageError: If the store cannot be reached or refuses a request.
    """
    name = _NAMES[network.normalizes]
    taken = find_network(store, run, normalizes=network.normalizes)
    if taken is not None:
        raise ExportError(
            f"run {run.run_id} has the model '{name}' already, {taken}; delete that model in "
            "MLflow to log it again"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        content = _save(network, run.run_id, folder)
        difference = check_logits(network, mlflow.load_model(str(folder)), "mlflow")
        with _requests(store):
            return LoggedModel(_log(store, run, name, network, content, folder), name, difference)


def find_network(store: Experiment, run: TrackedRun, *, normalizes: bool = False) -> str | None:
    """Return the URI of the model that a run has of its network; None without a complete one.

    Args:
        store: The experiment of the run.
        run: The run.
        normalizes: Whether it is the model that normalizes its images.

    Raises:
        StorageError: If the store cannot be reached or refuses a request.
    """
    condition = f"source_run_id = '{run.run_id}' AND name = '{_NAMES[normalizes]}'"
    with _requests(store):
        found = store.client.search_logged_models([store.experiment_id], condition)
    # not part of the condition: with MLflow 3.17, "status = 'READY'" finds nothing
    ready = [str(model.model_uri) for model in found if model.status == _READY]
    return ready[0] if ready else None


def _save(network: Exportable, run_id: str, folder: Path) -> Any:
    """Save a network in MLflow's format to a folder; returns MLflow's description of it."""
    # two rows: torch.export would fix the size of a batch of one
    images = network.examples(2)
    with torch.no_grad():
        logits = network.network(images)
    content = mlflow.Model(run_id=run_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.save_model(
            network.network,
            str(folder),
            mlflow_model=content,
            signature=mlflow.infer_signature(images.numpy(), logits.numpy()),
            input_example=images.numpy(),
            metadata=network.metadata(),
            # given, since MLflow would otherwise load the model in another process to infer them
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            serialization_format="pt2",
        )
    return content


def _log(
    store: Experiment,
    run: TrackedRun,
    name: str,
    network: Exportable,
    content: Any,
    folder: Path,
) -> str:
    """Log a saved network; returns the model's URI.

    ``mlflow.pytorch.log_model`` logs before anything can be compared, and to the process's default
    store and experiment even if it is given the run of another.
    """
    client = store.client
    epoch = int(network.trained.metrics.get("epoch", 0))
    model = client.create_logged_model(
        store.experiment_id, name=name, source_run_id=run.run_id, params=run.parameters
    )
    try:
        content.model_id = content.model_uuid = model.model_id
        content.artifact_path = model.artifact_location
        content.save(str(folder / mlflow.MLMODEL_FILE_NAME))
        client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run.run_id, [mlflow.LoggedModelOutput(model.model_id, step=epoch)])
        if SWEEP_RUN in run.tags:
            shown = [mlflow.LoggedModelOutput(model.model_id, step=epoch)]
            client.log_outputs(run.tags[SWEEP_RUN], shown)
        if metrics := _metrics(client, run.run_id, epoch, model.model_id):
            client.log_batch(run.run_id, metrics=metrics)
        client.finalize_logged_model(model.model_id, _READY)
    except BaseException:
        with suppress(Exception):
            client.delete_logged_model(model.model_id)
        raise
    return str(model.model_uri)


def _metrics(
    client: mlflow.MlflowClient, run_id: str, epoch: int, model_id: str
) -> list[mlflow.Metric]:
    """Return the metrics of an epoch of a run as metrics of its model.

    They have the same times: the store then keeps each once in the run.
    """
    return [
        mlflow.Metric(key, each.value, each.timestamp, epoch, model_id=model_id, run_id=run_id)
        for key in client.get_run(run_id).data.metrics
        for each in client.get_metric_history(run_id, key)
        if each.step == epoch
    ]


@contextmanager
def _requests(store: Experiment) -> Iterator[None]:
    """Turn the error of a request into one line."""
    try:
        yield
    except Exception as error:  # MLflow's stores raise different errors
        raise store_error("be used", store.uri, error) from error
