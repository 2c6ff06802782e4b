"""A logged network gives torch's logits where MLflow and torch are, and this package is not."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import torch

from tune_nas.config import TrialConfig
from tune_nas.errors import ExportError, StorageError
from tune_nas.export import TrainedNetwork, load_checkpoint
from tune_nas.export.export_format import Exportable
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype
from tune_nas.tracking import Experiment, MlflowTracker, RunReader, TrackedRun
from tune_nas.tracking.logged_model import LoggedModel, log_network

CELL = Genotype.parse(
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
)
TINY = {
    "space": {"name": "nasbench201"},
    "data": {"name": "fake", "train_images": 32},
    "runtime": {"device": "cpu"},
    "retrain": {
        **{"epochs": 2, "batch_size": 16, "init_channels": 4, "cells": 1},
        **{"drop_path": 0.5, "auxiliary_weight": 0.4},
    },
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network after two epochs, trained with drop path and an auxiliary head."""
    folder = tmp_path_factory.mktemp("trained") / "checkpoint"
    run = Retrain(TrialConfig.model_validate(TINY), CELL)
    run.run_epoch()
    run.run_epoch()
    run.save(folder)
    return folder


@pytest.fixture
def trained(checkpoint: Path) -> TrainedNetwork:
    return load_checkpoint(str(checkpoint))


@pytest.fixture
def experiment(store: str) -> Experiment:
    return Experiment(store)


@pytest.fixture
def run(experiment: Experiment) -> TrackedRun:
    return finished_run(experiment)


def finished_run(experiment: Experiment) -> TrackedRun:
    """A finished run of two epochs."""
    tracker = MlflowTracker(experiment)
    sweep = tracker.sweep_run("lambda", {})
    run_id = tracker.trial_run(
        sweep, "retrain-00000", phase="retrain", parameters={"seed": 3, "update": {"lambda": 0.5}}
    )
    for epoch in (1, 2):
        tracker.log_epoch(run_id, epoch, {"test_accuracy": 30.5 + epoch}, 1000 * epoch)
    tracker.finish(run_id)
    return RunReader(experiment).find_run(run_id)


_LOAD = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'tune_nas':
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
import mlflow, torch
mlflow.set_tracking_uri(sys.argv[1])
network = mlflow.pytorch.load_model(sys.argv[2])
batches = torch.load('images.pt')
with torch.no_grad():
    torch.save([[network(images) for images in batches] for _ in range(2)], 'logits.pt')
"""


def loaded_elsewhere(
    store: str, uri: str, batches: list[torch.Tensor], folder: Path
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The logits of a model, twice, in a process without this package that unpickles nothing."""
    torch.save(batches, folder / "images.pt")
    command = [sys.executable, "-W", "ignore", "-c", _LOAD, store, uri]
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    first, second = torch.load(folder / "logits.pt")
    return first, second


def register(store: str, uri: str) -> None:
    """Register a model as the first version of ``best``."""
    code = (
        "import sys, mlflow\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "mlflow.register_model(sys.argv[2], 'best')"
    )
    subprocess.run([sys.executable, "-c", code, store, uri], check=True)


@pytest.mark.parametrize("normalizes", [False, True])
def test_a_network_in_training_mode_is_logged_in_evaluation_mode(
    experiment: Experiment, run: TrackedRun, trained: TrainedNetwork, tmp_path: Path, normalizes
) -> None:
    trained.train()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    network = Exportable.of(trained, normalizes=normalizes, run="lambda/retrain-00000")
    model = log_network(experiment, run, network)
    assert model.difference <= 1e-4
    after = trained.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    generator = torch.Generator().manual_seed(1)
    side = trained.data.image_size
    pixels = [torch.rand(n, 3, side, side, generator=generator) for n in (1, 2, 5)]
    images = [each if normalizes else trained.normalize(each) for each in pixels]
    first, second = loaded_elsewhere(experiment.uri, model.uri, images, tmp_path)
    with torch.no_grad():
        expected = [trained.eval()(trained.normalize(each)) for each in pixels]
    for found, again, wanted in zip(first, second, expected, strict=True):
        assert torch.equal(found, again)
        assert torch.allclose(found, wanted, atol=1e-4, rtol=0)


def test_the_run_shows_the_model(
    experiment: Experiment, run: TrackedRun, trained: TrainedNetwork, capfd
) -> None:
    network = Exportable.of(trained, run="lambda/retrain-00000")
    logged = log_network(experiment, run, network)
    assert capfd.readouterr() == ("", "")
    client = experiment.client
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert (model.model_uri, model.name, model.status) == (logged.uri, "network", "READY")
    assert model.source_run_id == run.run_id
    assert model.params == run.parameters
    assert {metric.key: (metric.value, metric.step) for metric in model.metrics} == {
        "test_accuracy": (32.5, 2),
    }
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert [(each.model_id, each.step) for each in found.outputs.model_outputs] == [
        (model.model_id, 2)
    ]
    history = client.get_metric_history(run.run_id, "test_accuracy")
    assert sorted((each.step, each.value) for each in history) == [(1, 31.5), (2, 32.5)]


def test_signature_example_and_metadata(
    experiment: Experiment, run: TrackedRun, trained: TrainedNetwork, tmp_path: Path
) -> None:
    network = Exportable.of(trained, run="lambda/retrain-00000")
    uri = log_network(experiment, run, network).uri
    location = experiment.client.get_logged_model(uri.removeprefix("models:/")).artifact_location
    folder = Path(mlflow.artifacts.download_artifacts(location, dst_path=str(tmp_path)))
    content = mlflow.models.Model.load(str(folder))
    (images,), (logits,) = content.signature.inputs.inputs, content.signature.outputs.inputs
    side, classes = trained.data.image_size, len(trained.data.classes)
    assert (images.shape, str(images.type)) == ((-1, 3, side, side), "float32")
    assert (logits.shape, str(logits.type)) == ((-1, classes), "float32")
    example = json.loads((folder / "input_example.json").read_text())
    assert torch.allclose(torch.tensor(example), network.examples(2))
    assert content.metadata == network.metadata()
    assert (content.run_id, f"models:/{content.model_id}") == (run.run_id, uri)
    requirements = (folder / "requirements.txt").read_text().split()
    assert sorted(each.partition("==")[0] for each in requirements) == ["mlflow", "torch"]
    assert not any("+" in each for each in requirements)  # no build that only one index has


def test_a_registered_version_is_the_model(
    experiment: Experiment, run: TrackedRun, trained: TrainedNetwork, tmp_path: Path
) -> None:
    network = Exportable.of(trained)
    model = log_network(experiment, run, network)
    register(experiment.uri, model.uri)
    first, _ = loaded_elsewhere(experiment.uri, "models:/best/1", [network.examples(3)], tmp_path)
    with torch.no_grad():
        assert torch.allclose(first[0], trained(network.examples(3)), atol=1e-4, rtol=0)


def test_a_moved_store_has_its_models(store: str, trained: TrainedNetwork, tmp_path: Path) -> None:
    """Also those of the registry."""
    (tmp_path / "old").mkdir()
    shutil.move(store.removeprefix("sqlite:///"), tmp_path / "old" / "mlflow.db")
    with sqlite3.connect(tmp_path / "old" / "mlflow.db") as connection:
        connection.execute("DELETE FROM experiments WHERE name != 'Default'")
    connection.close()
    experiment = Experiment(f"sqlite:///{tmp_path}/old/mlflow.db")
    network = Exportable.of(trained)
    model = log_network(experiment, finished_run(experiment), network)
    register(experiment.uri, model.uri)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = Experiment(f"sqlite:///{tmp_path}/new/mlflow.db")
    for uri in (model.uri, "models:/best/1"):
        first, _ = loaded_elsewhere(moved.uri, uri, [network.examples(2)], tmp_path)
        with torch.no_grad():
            assert torch.allclose(first[0], trained(network.examples(2)), atol=1e-4, rtol=0)
    assert not (tmp_path / "old").exists()


def test_a_run_has_each_model_once(
    experiment: Experiment, run: TrackedRun, trained: TrainedNetwork
) -> None:
    plain = Exportable.of(trained)
    model = log_network(experiment, run, plain)
    with pytest.raises(ExportError, match=f"has the model 'network' already, {model.uri}; delete"):
        log_network(experiment, run, plain)
    assert log_network(experiment, run, Exportable.of(trained, normalizes=True)).name == (
        "normalizing-network"
    )
    experiment.client.delete_logged_model(model.uri.removeprefix("models:/"))
    assert log_network(experiment, run, plain) != model


def test_a_model_with_other_logits_is_not_logged(
    experiment: Experiment,
    run: TrackedRun,
    trained: TrainedNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = "tune_nas.tracking.mlflow_names.load_model"
    network = Exportable.of(trained)
    monkeypatch.setattr(
        wrong, lambda folder: lambda images: network.network(images) + 2e-4, raising=False
    )
    with pytest.raises(ExportError, match=r"mlflow: .* differ .* by 2\.0e-04"):
        log_network(experiment, run, network)
    assert experiment.client.search_logged_models([experiment.experiment_id]) == []


def test_a_failed_upload_leaves_no_model(
    experiment: Experiment,
    run: TrackedRun,
    trained: TrainedNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    network = Exportable.of(trained)
    with monkeypatch.context() as patched:
        patched.setattr(experiment.client, "log_model_artifacts", fail)
        with pytest.raises(StorageError, match=r"MLflow store .* No space left on device"):
            log_network(experiment, run, network)
    assert experiment.client.search_logged_models([experiment.experiment_id]) == []
    assert not experiment.client.get_run(run.run_id).outputs.model_outputs
    assert isinstance(log_network(experiment, run, network), LoggedModel)
