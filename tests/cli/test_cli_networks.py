"""`tune-nas predict` and `export`, from a checkpoint in a folder."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tune_nas.config import TrialConfig
from tune_nas.export import load_checkpoint
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype

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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "end", "absent.png"], "'absent.png' cannot be read"),
        (["predict", "nothing", "red.png"], "'nothing'"),
        (["export", "end", "--to", "onx"], "did you mean 'onnx'?"),
        (["export", "end", "--to", "onnx", "--output", "a.txt"], "must end in .onnx for onnx"),
        (["export", "nothing", "--to", "onnx"], "'nothing'"),
    ],
)
def test_bad_input_is_one_line(
    command_line, checkpoint: str, arguments: list[str], message: str
) -> None:
    assert message in command_line.refused(*arguments)
