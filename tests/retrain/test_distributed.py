"""Retraining runs in two processes, against the same runs in one."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from genotypes import ALL_OPERATIONS as DARTS
from gloo_processes import run_gloo
from torch import nn

import tune_nas
from tune_nas.checkpoint import load_state
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.retrain import STATE_FILE, Retrain
from tune_nas.retrain.distributed import Workers
from tune_nas.retrain.synchronized_norm import CpuSyncBatchNorm, synchronize_norms
from tune_nas.spaces import CellGenotype, Genotype

WORKER = Path(__file__).with_name("worker.py")
CLOSE = 1e-9  # float64
# The first convolution reaches no output: its weights have no gradient.
UNUSED = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
RECIPE: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 16,
    "init_channels": 4,
    "cells": 3,
    "drop_path": 0.3,
    "label_smoothing": 0.1,
    "augment": {"crop_padding": 1, "flip": True, "cutout": 3},
}


def trial(space: str = "darts", **recipe: Any) -> dict[str, Any]:
    return {
        "space": {"name": space},
        "data": {"name": "digits", "train_images": 38},  # two batches, six images are left over
        "runtime": {"device": "cpu", "dtype": "float64", "workers": recipe.pop("workers", 1)},
        "retrain": {**RECIPE, **recipe},
    }


# Equal trials give equal results with both numbers of workers.
RUNS: dict[str, dict[str, Any]] = {
    "darts": {"trial": trial(), "genotype": DARTS, "epochs": 3},
    "stopped": {"trial": trial(workers=2), "genotype": DARTS, "epochs": 1},
    "unused": {
        "trial": trial("nasbench201", auxiliary_weight=0.0, cells=1, weight_decay=0.1),
        "genotype": UNUSED,
        "epochs": 2,
    },
    "parts": {
        "trial": trial(accumulation_steps=2, ema_decay=0.9),
        "genotype": DARTS,
        "epochs": 2,
    },
    "odd": {"trial": trial(batch_size=15), "genotype": DARTS, "epochs": 1},
}


def run_workers(folder: Path, runs: dict[str, dict[str, Any]], size: int = 2) -> None:
    (folder / "runs.json").write_text(json.dumps(runs))
    ends = run_gloo(WORKER, size, str(folder))
    assert [end for end in ends if end] == []  # torch warns of nothing


@functools.cache
def straight(name: str) -> Retrain:
    order = RUNS[name]
    content = {**order["trial"], "runtime": {**order["trial"]["runtime"], "workers": 1}}
    retrain = Retrain(TrialConfig.model_validate(content), Genotype.parse(order["genotype"]))
    while retrain.epoch < order["epochs"]:
        retrain.run_epoch()
    return retrain


def assert_close(found: Any, expected: Any, path: str = "state") -> None:
    """Compare containers; floating-point numbers to 1e-9, everything else exactly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key in expected.keys() - {"seconds", "memory_mib", "trial", "kernels"}:
            assert_close(found[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for index, pair in enumerate(zip(found, expected, strict=True)):
            assert_close(*pair, f"{path}[{index}]")
    elif isinstance(expected, torch.Tensor) and expected.is_floating_point():
        assert found.dtype == expected.dtype == torch.float64, path
        torch.testing.assert_close(found, expected, rtol=CLOSE, atol=CLOSE, msg=path)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), path
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=CLOSE, abs=CLOSE), path
    else:
        assert found == expected, path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    straight("stopped").save(folder / "one")
    resumed = {**RUNS["darts"], "start": str(folder / "one"), "epochs": 2}
    run_workers(folder, {**RUNS, "resumed": resumed})
    return folder


@pytest.mark.parametrize("name", ["darts", "unused", "parts"])
def test_two_workers_give_the_losses_and_weights_of_one(name: str, two: Path) -> None:
    expected = straight(name)
    for rank in (0, 1):
        assert_close(json.loads((two / f"{name}.{rank}.json").read_text()), expected.history)
        state = load_state(two / f"{name}.{rank}", name=STATE_FILE)
        assert_close(state, expected.state_dict())
    moments = expected.state_dict()["optimizer"]["state"]
    assert moments  # compared above
    unused = [p for p in expected.network.parameters() if p.grad is None]
    assert bool(unused) == (name == "unused")


def test_one_worker_resumes_a_run_of_two(two: Path) -> None:
    resumed = Retrain(TrialConfig.model_validate(RUNS["darts"]["trial"]), Genotype.parse(DARTS))
    resumed.load(two / "stopped.0")
    assert resumed.epoch == 1
    while not resumed.done:
        resumed.run_epoch()
    assert_close(resumed.state_dict(), straight("darts").state_dict())


def test_two_workers_resume_a_run_of_one(two: Path) -> None:
    state = load_state(two / "resumed.0", name=STATE_FILE)
    assert_close(state, straight("darts").state_dict())


def test_the_network_of_two_workers_is_loaded_like_any_other(two: Path) -> None:
    loaded = tune_nas.load_network(str(two / "darts.0"))
    kinds = {type(module) for module in loaded.modules()}
    assert nn.BatchNorm2d in kinds and CpuSyncBatchNorm not in kinds
    network = straight("darts").network.eval()
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():  # the loaded weights are rounded to float32
        torch.testing.assert_close(
            loaded.network.double()(images), network(images), rtol=1e-5, atol=1e-6
        )


def test_batches_that_cannot_be_divided_are_one_line(two: Path) -> None:
    line = "runtime.workers is 2, but must divide the 15 images of a training batch"
    assert json.loads((two / "odd.1.json").read_text()).startswith(line)
    Retrain(TrialConfig.model_validate(trial(workers=5, batch_size=15)), Genotype.parse(DARTS))
    for workers, last in ((32, "try 16"), (3, "try 2")):
        config = TrialConfig.model_validate(trial(workers=workers))
        with pytest.raises(ConfigError, match=rf"^runtime.workers is {workers}, .*{last}$"):
            Retrain(config, Genotype.parse(DARTS))


def test_noise_needs_one_worker() -> None:
    edges = [
        *((0, 2, "noise"), (1, 2, "sep_conv_3x3"), (0, 3, "sep_conv_3x3"), (2, 3, "noise")),
        *((1, 4, "sep_conv_3x3"), (3, 4, "sep_conv_3x3"), (0, 5, "noise"), (4, 5, "noise")),
    ]
    cells = {name: CellGenotype.of(edges) for name in ("normal", "reduction")}
    config = TrialConfig.model_validate(trial("s4", workers=2))
    with pytest.raises(ConfigError, match=r"^runtime.workers is 2, but must be 1 .*'noise'"):
        Retrain(config, Genotype("s4", cells))


def test_a_process_alone_is_the_only_worker() -> None:
    alone = Workers.joined()
    assert alone == Workers(rank=0, size=1)
    counts = torch.ones(2)
    assert alone.add(counts) is counts and alone.rows(3) == [0, 1, 2]
    assert Workers(1, 3).rows(6) == [2, 3]
    assert Workers(1, 2).rows(12, parts=3) == [2, 3, 6, 7, 10, 11]


def test_a_norm_keeps_its_tensors_and_options() -> None:
    network = nn.Sequential(
        nn.Sequential(nn.BatchNorm2d(3, eps=0.1, momentum=None)),
        nn.BatchNorm1d(3, affine=False),
        nn.BatchNorm2d(3, track_running_stats=False).eval(),
    )
    before = dict(network.named_parameters()) | dict(network.named_buffers())
    synchronize_norms(network, torch.device("cpu"))
    after = dict(network.named_parameters()) | dict(network.named_buffers())
    assert before.keys() == after.keys() and all(after[name] is before[name] for name in before)
    first, second, third = network[0][0], network[1], network[2]
    assert all(isinstance(norm, CpuSyncBatchNorm) for norm in (first, second, third))
    assert (first.eps, first.momentum, second.affine) == (0.1, None, False)
    assert (first.training, third.training) == (True, False)
