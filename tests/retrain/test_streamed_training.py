"""A recipe for ImageNet on a small folder of JPEGs, which are read when they are needed."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comparing import assert_same
from PIL import Image

from tune_nas import load_network
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.export.quantized import export_quantized
from tune_nas.retrain import Retrain
from tune_nas.retrain.retrain_checks import check_retrain_memory
from tune_nas.spaces import Genotype


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with 2 classes of 4 training and 2 test images."""
    generator = np.random.default_rng(0)
    for part, n in (("train", 4), ("val", 2)):
        for label in ("n01", "n02"):
            (tmp_path / "images" / part / label).mkdir(parents=True)
            for number in range(n):
                pixels = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((64, 48), Image.Resampling.BILINEAR)
                image.save(tmp_path / "images" / part / label / f"{number}.JPEG")
    return tmp_path / "images"


def trial_of(folder: Path, **keys: Any) -> TrialConfig:
    retrain = {"recipe": "darts-imagenet", "epochs": 2, "batch_size": 3}
    return TrialConfig.model_validate(
        {
            "data": {"name": "imagenet", "dir": str(folder), "resolution": 32, "workers": 2},
            "runtime": {"device": "cpu", "dtype": "float64"},
            "retrain": {**retrain, "init_channels": 4, "cells": 3, **keys},
        }
    )


def test_killed_in_an_epoch_and_resumed_with_other_workers_is_equal_to_the_bit(
    folder: Path, darts_v2: str, tmp_path: Path
) -> None:
    genotype, trial = Genotype.parse(darts_v2), trial_of(folder)
    straight = Retrain(trial, genotype)
    while not straight.done:
        straight.run_epoch()
    assert multiprocessing.active_children() == []
    assert straight.data.n_classes == 2 and straight.dtype == torch.float64
    assert [epoch["learning_rate"] for epoch in straight.history] == [0.1, 0.1 * 0.97]
    program = f"""
import os, signal
from pathlib import Path
from tune_nas.config import TrialConfig
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype

retrain = Retrain(TrialConfig.model_validate({trial.to_dict()!r}), Genotype.parse({darts_v2!r}))
retrain.run_epoch()
retrain.save(Path({str(tmp_path / "saved")!r}))
retrain.run_epoch(lambda step, steps: os.kill(os.getpid(), signal.SIGKILL) if step == 1 else None)
"""
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
    alone = trial.model_copy(update={"data": trial.data.model_copy(update={"workers": 0})})
    resumed = Retrain(alone, genotype)
    resumed.load(tmp_path / "saved")
    assert resumed.epoch == 1
    while not resumed.done:
        resumed.run_epoch()
    assert_same(straight.state_dict(), resumed.state_dict(), ignored=["workers"])


def test_a_state_in_the_middle_of_an_epoch_continues_there(folder: Path, darts_v2: str) -> None:
    """The steps after it are those of an uninterrupted run."""
    genotype, trial = Genotype.parse(darts_v2), trial_of(folder, epochs=1)
    states: list[Any] = []
    first = Retrain(trial, genotype)
    first.run_epoch(lambda step, steps: states.append(first.state_dict()["batches"]))
    assert [state["position"] for state in states] == [1, 0]  # of two steps
    second = Retrain(trial, genotype)
    second._train.load_state_dict(states[0])
    third = Retrain(trial, genotype)
    third._train.next()
    expected, found = third._train.next(), second._train.next()
    assert torch.equal(expected[0], found[0]) and torch.equal(expected[1], found[1])
    second._train.close()
    third._train.close()


def test_a_loaded_network_reads_images_as_those_of_the_test(
    folder: Path, darts_v2: str, tmp_path: Path
) -> None:
    retrain = Retrain(trial_of(folder, epochs=1), Genotype.parse(darts_v2))
    retrain.run_epoch()
    retrain.save(tmp_path / "saved")
    network = load_network(str(tmp_path / "saved"))
    (images, labels), *_ = retrain.data.test_batches(4)
    files = sorted((folder / "val").rglob("*.JPEG"))
    read = network.read_images(files)
    torch.testing.assert_close(read, images.to(read), rtol=0, atol=1e-6)
    predictions = list(network.predict(files, top=1))
    right = [files[n].parent.name == each.classes[0] for n, each in enumerate(predictions)]
    assert 100 * sum(right) / len(labels) == retrain.history[-1]["test_accuracy"]
    pytest.importorskip("onnxruntime")
    report = export_quantized(network, tmp_path / "int8.onnx", max_accuracy_drop=100)
    assert report.float_accuracy == retrain.history[-1]["test_accuracy"]
    assert (report.test_images, report.calibration_images) == (len(labels), 8)


def test_checks_read_one_image_and_start_no_process(folder: Path, darts_v2: str) -> None:
    check_retrain_memory(trial_of(folder), Genotype.parse(darts_v2))
    with pytest.raises(ConfigError, match=r"retrain.batch_size is 1, but must be >= 2"):
        Retrain(trial_of(folder, batch_size=1, auxiliary_weight=0.0), Genotype.parse(darts_v2))
    assert multiprocessing.active_children() == []
