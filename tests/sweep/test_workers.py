"""One retraining run in several processes of Ray, one of which is killed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.retrain import Retrain
from tune_nas.retrain.distributed import Workers
from tune_nas.spaces import Genotype
from tune_nas.sweep import RunOptions, resume_sweep, run_retrain
from tune_nas.sweep.ray.room import Node, check_room, trials_at_once
from tune_nas.tasks import Inputs, RetrainTask

CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def trial(**runtime: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "name": "shared",
            "space": {"name": "nasbench201"},
            "data": {"name": "digits", "train_images": 64},
            "runtime": {"device": "cpu", "dtype": "float64", **runtime},
            "retrain": {
                "epochs": 3,
                "batch_size": 16,
                "init_channels": 4,
                "cells": 1,
                "auxiliary_weight": 0.0,
                "drop_path": 0.3,
            },
        }
    )


class Dying(Retrain):
    deaths: Path

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> dict[str, float]:
        if self.epoch == 1 and Workers.joined().rank == 1:
            with self.deaths.open("a") as file:
                file.write("x")
            os._exit(1)
        return super().run_epoch(on_step)


class DyingTask(RetrainTask):
    """Its second worker ends in its second epoch."""

    def __init__(self, deaths: Path) -> None:
        self.deaths = deaths

    def build(self, trial: TrialConfig, inputs: Inputs, together: object = None) -> Retrain:
        assert inputs.genotype is not None
        retrain = Dying(trial, Genotype.parse(inputs.genotype))
        retrain.deaths = self.deaths
        return retrain


@pytest.mark.sweep
def test_a_lost_worker_fails_the_epoch_and_a_single_one_resumes(
    tmp_path: Path, ray_session: None
) -> None:
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    met = set(Path(tempfile.gettempdir()).glob("tune-nas-workers-*"))
    options = RunOptions(
        storage=str(tmp_path / "runs"), cpus_per_trial=0.5, max_failures=1, quiet=True
    )
    task = DyingTask(tmp_path / "deaths")
    tasks = {"retrain": task}
    (failed,) = run_retrain(trial(workers=2), CELL, options, "two", tasks=tasks).results
    assert (failed.status, len(failed.history)) == ("failed", 1)
    assert task.deaths.read_text() == "xx"  # retried once, from the first epoch's checkpoint
    one = replace(options, workers=1)
    (found,) = resume_sweep("two", one, failed=True, tasks=tasks).results
    assert (found.status, found.error) == ("finished", None)
    assert task.deaths.read_text() == "xx"

    expected = Retrain(trial(), Genotype.parse(CELL))
    while not expected.done:
        expected.run_epoch()
    timed = {"seconds", "memory_mib"}
    for epoch, metrics in zip(found.history, expected.history, strict=True):
        wanted = {name: value for name, value in metrics.items() if name not in timed}
        assert {name: epoch[name] for name in wanted} == pytest.approx(wanted, rel=1e-9)
    assert set(Path(tempfile.gettempdir()).glob("tune-nas-workers-*")) == met


@pytest.mark.parametrize(
    ("nodes", "workers", "options", "at_once"),
    [
        ([Node(8, 4)], 2, {"gpus_per_trial": 1}, 2),
        ([Node(8, 4)], 3, {"gpus_per_trial": 1}, 1),
        ([Node(8, 2), Node(8, 2)], 4, {"gpus_per_trial": 1}, 1),
        ([Node(2)], 2, {}, 1),
        ([Node(3), Node(3)], 2, {"cpus_per_trial": 2}, 1),
    ],
)
def test_trials_are_counted_by_their_workers(
    nodes: list[Node], workers: int, options: dict[str, Any], at_once: int
) -> None:
    check_room(nodes, RunOptions(**options), workers)
    assert trials_at_once(nodes, RunOptions(**options), workers) == at_once


@pytest.mark.parametrize(
    ("nodes", "workers", "options", "says"),
    [
        (
            [Node(16, 4)],
            8,
            {"gpus_per_trial": 1},
            "runtime.workers is 8, but must be at most 4: the machine has 16 CPUs and 4 GPUs, and "
            "a worker needs 1 (`cpus_per_trial`) and 1 (`gpus_per_trial`)",
        ),
        (
            [Node(3), Node(3)],
            3,
            {"cpus_per_trial": 2},
            "runtime.workers is 3, but must be at most 2: the nodes have 6 CPUs and 0 GPUs, and "
            "a worker needs 2 (`cpus_per_trial`) and 0 (`gpus_per_trial`)",
        ),
    ],
)
def test_more_workers_than_fit_are_refused(
    nodes: list[Node], workers: int, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check_room(nodes, RunOptions(**options), workers)
    assert str(error.value) == says


def test_a_numbered_gpu_is_refused_for_several_workers() -> None:
    with pytest.raises(ValueError, match=r"'cuda:1', but must be auto, cpu or cuda with"):
        trial(device="cuda:1", workers=2)
    assert trial(device="cuda:1").runtime.workers == 1


def test_a_resume_needs_at_least_one_worker() -> None:
    with pytest.raises(ConfigError, match=r"^`workers` is 0, but must be >= 1$"):
        RunOptions(workers=0)
    assert RunOptions(workers=2).for_resume() == {"workers": 2}
    assert RunOptions().merged_with({"workers": 2}).workers == 2
    assert RunOptions(workers=1).merged_with({"workers": 2}).workers == 1
