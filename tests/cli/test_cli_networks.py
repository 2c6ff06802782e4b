"""`tune-nas predict` and `export`, from a checkpoint in a folder and from a retraining run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from tune_nas.config import TrialConfig
from tune_nas.export import load_checkpoint
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.plan import STATE
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import Experiment, MlflowTracker

TINY: dict[str, Any] = {
    "space": {"name": "nasbench201"},
    "data": {"name": "fake", "train_images": 32},
    "runtime": {"device": "cpu"},
    "retrain": {"epochs": 1, "batch_size": 16, "init_channels": 2, "cells": 1},
}
CELL = Genotype.parse(
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
)


@pytest.fixture
def checkpoint(command_line) -> str:
    run = Retrain(TrialConfig.model_validate(TINY), CELL)
    run.run_epoch()
    run.save(command_line.folder / "end")
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (9, 9), color).save(command_line.folder / f"{name}.png")
    return "end"


def test_predictions_are_those_of_the_network(command_line, checkpoint: str) -> None:
    images = ["red.png", "blue.png"]
    found = command_line.json("predict", checkpoint, *images, "--top", "2")
    network = load_checkpoint(str(command_line.folder / checkpoint))
    paths = [command_line.folder / name for name in images]
    for each, expected in zip(found, network.predict(paths, top=2), strict=True):
        assert each["classes"] == list(expected.classes)
        assert each["probabilities"] == pytest.approx(expected.probabilities)
    assert [each["image"] for each in found] == images


def test_an_export_is_named_after_its_run_and_never_replaces_a_file(
    command_line, checkpoint: str
) -> None:
    written = command_line.json("export", checkpoint, "--to", "standalone")
    assert written["files"] == ["end.py", "end.safetensors"] and written["difference"] <= 1e-4
    (command_line.folder / "end.py").unlink()
    message = command_line.refused("export", checkpoint, "--to", "standalone")
    assert "--output: 'end.safetensors' exists already" in message


def test_an_int8_export_tells_its_accuracy_beside_that_of_float(
    command_line, checkpoint: str
) -> None:
    flags = ("--to", "onnx", "--quantize", "--max-accuracy-drop", "100")
    written = command_line.json("export", checkpoint, *flags)
    assert written["files"] == ["end-int8.onnx"] and written["calibration_images"] == 32
    message = command_line.refused("export", checkpoint, *flags)
    assert "--output: 'end-int8.onnx' exists already" in message
    text = command_line.ok("export", checkpoint, *flags, "--output", "other.onnx")
    assert (
        f"test accuracy in int8 {written['accuracy']:.2f} %, in float "
        f"{written['float_accuracy']:.2f} % ({written['test_images']} images)"
    ) in text
    assert f"measured on {written['processor']['name']} (" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "end", "absent.png"], "'absent.png' cannot be read"),
        (["predict", "nothing", "red.png"], "'nothing'"),
        (["export", "end", "--to", "onx"], "did you mean 'onnx'?"),
        (["export", "end", "--to", "onnx", "--output", "a.txt"], "must end in .onnx for onnx"),
        (["export", "nothing", "--to", "onnx"], "'nothing'"),
        (["export", "end", "--to", "mlfow"], "did you mean 'mlflow'?"),
        (["export", "end", "--to", "mlflow"], "'end' is a checkpoint, but must be a run"),
        (
            ["export", "end", "--to", "mlflow", "--output", "a.pt2"],
            "--output is 'a.pt2', but --to mlflow writes no file",
        ),
        (
            ["export", "end", "--to", "standalone", "--quantize"],
            "--quantize needs --to onnx, not",
        ),
        (
            ["export", "end", "--to", "onnx", "--max-accuracy-drop", "2"],
            "--max-accuracy-drop is 2, but has no effect without --quantize",
        ),
        (["export", "end", "--to", "onnx", "--max-accuracy-drop", "-1"], "--max-accuracy-drop"),
    ],
)
def test_bad_input_is_one_line(
    command_line, checkpoint: str, arguments: list[str], message: str
) -> None:
    assert message in command_line.refused(*arguments)


@pytest.fixture
def retraining(command_line) -> str:
    """A retraining run in the storage; returns the URI of a store that does not have it yet."""
    trial = TrialConfig.model_validate(TINY)
    run = Retrain(trial, CELL)
    run.run_epoch()
    storage = Storage(command_line.folder / "runs" / "mine")
    job = Job("retrain-00000", "retrain", "retrain", trial)
    records = Records(storage, "retrain")
    record = records.start(job)
    record.folders = [f"{storage.root}/retrain/{job.id}"]
    records.save(record)
    run.save(command_line.folder / "runs/mine/retrain" / job.id / "checkpoint_000000")
    storage.write(STATE, json.dumps({"kind": "retrain", "identity": "own"}))
    return f"sqlite:///{command_line.folder}/runs/mlflow.db"


def track(store: str, identity: str) -> str:
    """Track the run, in a sweep of this identity; returns the run."""
    tracker = MlflowTracker(store)
    sweep = tracker.sweep_run("mine", {}, identity=identity)
    return tracker.trial_run(sweep, "retrain-00000", phase="retrain", parameters=TINY)


def test_a_network_is_logged_to_the_run_that_trained_it(command_line, retraining: str) -> None:
    run, _ = track(retraining, "own"), track(retraining, "another in a shared store")
    logged = command_line.json("export", "mine", "--to", "mlflow")
    assert (logged["run"], logged["store"], logged["name"]) == (run, retraining, "network")
    client = Experiment(retraining).client
    model = client.get_logged_model(logged["model"].removeprefix("models:/"))
    assert model.source_run_id == run
    message = command_line.refused("export", "mine/retrain-00000", "--to", "mlflow")
    assert f"run {run} has the model 'network' already, {logged['model']}" in message
    text = command_line.ok("export", run, "--to", "mlflow", "--normalize")
    assert [each.name for each in command_line.folder.iterdir()] == ["runs"]  # nothing elsewhere
    first, *loading = text.splitlines()
    assert "(normalizing-network) logged to run " + run in first
    uri = first.partition(" ")[0]
    assert [line.strip() for line in loading] == [
        "Load it, without tune-nas, with:",
        "import mlflow",
        f'mlflow.set_tracking_uri("{retraining}")',
        f'network = mlflow.pytorch.load_model("{uri}")',
    ]


def test_a_run_that_is_not_tracked_is_refused(command_line, retraining: str) -> None:
    assert "there is no MLflow store" in command_line.refused("export", "mine", "--to", "mlflow")
    track(retraining, "another in a shared store")
    message = command_line.refused("export", "mine", "--to", "mlflow")
    assert f"MLflow store {retraining} does not have the run 'mine/retrain-00000'" in message


def test_the_store_that_tracked_the_run_is_used(command_line, retraining: str) -> None:
    other = f"sqlite:///{command_line.folder}/other.db"
    state = {"kind": "retrain", "identity": "own", "mlflow": other}
    Storage(command_line.folder / "runs" / "mine").write(STATE, json.dumps(state))
    run = track(other, "own")
    logged = command_line.json("export", "mine", "--to", "mlflow")
    assert (logged["run"], logged["store"]) == (run, other)
