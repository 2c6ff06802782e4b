"""The runner before and after the trials: rejected sweeps, kept settings, closed runs.

Ray is not started: these tests cover the time before the trials, and after a Ctrl-C.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin import GENOTYPE_FILE, TASKS, MakeSweep

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, DataError, GenotypeError, StorageError, TuneNasError
from tune_nas.sweep import RunOptions, resume_sweep, run_retrain, run_sweep
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.runs.plan import Plan, State, read_plan
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

LEAST, OR_NONE = "but must be finite and >= 0.01", "but must be finite, and 0 or >= 0.01"
TINY = {
    "space": {"name": "darts", "init_channels": 4, "cells": 3},
    "data": {"name": "fake", "train_images": 32},
    "retrain": {"epochs": 1, "batch_size": 8, "init_channels": 4, "cells": 3},
}


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two CPUs and no GPU, on which Ray need not be started."""
    import ray

    @contextlib.contextmanager
    def connect(address: str | None) -> Iterator[None]:
        yield

    monkeypatch.setattr("tune_nas.sweep.on_ray.connect", connect)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """Simulate Ctrl-C when the trials would start; returns the options that they would have."""
    seen: list[RunOptions] = []

    def run(self: Any, *_: object) -> None:
        seen.append(self._options)
        raise KeyboardInterrupt

    monkeypatch.setattr("tune_nas.sweep.ray.execution.RayPhaseRunner.run", run)
    return seen


def options(folder: Path, **more: Any) -> RunOptions:
    return RunOptions(**{"storage": str(folder / "runs"), "quiet": True, **more})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"concurrency": 0}, "`concurrency` is 0, but must be >= 1"),
        ({"cpus_per_trial": 0}, "`cpus_per_trial` is 0, but must be finite and >= 0.01"),
        ({"cpus_per_trial": -1}, "`cpus_per_trial` is -1, but must be finite and >= 0.01"),
        ({"cpus_per_trial": 1e-5}, "`cpus_per_trial` is 1e-05, but must be finite and >= 0.01"),
        ({"cpus_per_trial": float("nan")}, f"`cpus_per_trial` is nan, {LEAST}"),
        ({"gpus_per_trial": -0.5}, f"`gpus_per_trial` is -0.5, {OR_NONE}"),
        ({"gpus_per_trial": 1e-5}, f"`gpus_per_trial` is 1e-05, {OR_NONE}"),
        ({"gpus_per_trial": float("inf")}, f"`gpus_per_trial` is inf, {OR_NONE}"),
    ],
)
def test_numbers_out_of_range(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        RunOptions(**changes)
    assert str(error.value) == says


def test_what_is_kept_fills_what_is_not_given() -> None:
    started = RunOptions(concurrency=3, cpus_per_trial=0.5, address="a:1", quiet=True)
    kept = started.for_resume()
    assert kept == {"concurrency": 3, "cpus_per_trial": 0.5, "address": "a:1"}
    resumed = RunOptions(storage="s", concurrency=1).merged_with(kept)
    assert resumed == RunOptions(storage="s", concurrency=1, cpus_per_trial=0.5, address="a:1")
    assert (RunOptions().cpus, RunOptions().gpus) == (1, 0)


@pytest.mark.parametrize("more", [{"cpus_per_trial": 64}, {"gpus_per_trial": 1}])
def test_too_much_for_the_machine_leaves_nothing(
    make_sweep: MakeSweep, tmp_path: Path, two_cpus: None, more: dict[str, Any]
) -> None:
    sweep = make_sweep()
    with pytest.raises(ConfigError, match=r"_per_trial` is (64|1), but must be at most (2|0),"):
        run_sweep(sweep, options(tmp_path, **more), "big", tasks=TASKS)
    assert [path.name for path in tmp_path.iterdir()] == ["input"]


def test_ctrl_c_closes_the_sweep_and_a_resume_goes_on_as_it_was_started(
    make_sweep: MakeSweep, tmp_path: Path, two_cpus: None, interrupted: list[RunOptions]
) -> None:
    own = f"sqlite:///{tmp_path / 'own.db'}"
    where = options(tmp_path, mlflow=own, concurrency=1, cpus_per_trial=2)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(make_sweep(), where, "cut", tasks=TASKS)
    (run,) = RunReader(own).list_runs()
    assert (run.phase, run.state, run.status) == ("sweep", "KILLED", "interrupted")
    state = read_plan(Storage(tmp_path / "runs" / "cut")).state
    assert (state.status, state.mlflow) == ("running", own)
    # Without room, a resume leaves the sweep's run as it is.
    with pytest.raises(ConfigError, match="`gpus_per_trial` is 4"):
        resume_sweep("cut", options(tmp_path, gpus_per_trial=4), tasks=TASKS)
    assert [run.state for run in RunReader(own).list_runs()] == ["KILLED"]
    with pytest.raises(KeyboardInterrupt):
        resume_sweep("cut", options(tmp_path), tasks=TASKS)
    with pytest.raises(KeyboardInterrupt):
        resume_sweep("cut", options(tmp_path, concurrency=2), tasks=TASKS)
    assert [(seen.concurrency, seen.cpus) for seen in interrupted] == [(1, 2), (1, 2), (2, 2)]
    assert [run.state for run in RunReader(own).list_runs()] == ["KILLED"]


def test_an_existing_name_offers_a_resume_where_there_is_one(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    sweep = make_sweep()
    where = options(tmp_path)
    bases = BaseTrials({"trial": TrialConfig()})
    plan = Plan(Storage(tmp_path / "runs" / "x"), sweep, bases, State())
    plan.write()
    resume = f"or resume it: tune-nas resume x --storage {tmp_path / 'runs'}"
    with pytest.raises(StorageError, match=resume):
        run_sweep(sweep, where, "x", tasks=TASKS)
    plan.write_state(status="finished")
    with pytest.raises(StorageError, match=r"choose another `name`$"):
        run_sweep(sweep, where, "x", tasks=TASKS)


def refused(
    folder: Path, error: type[TuneNasError], says: str, genotype: str, **trial: Any
) -> None:
    with pytest.raises(error, match=says):
        run_retrain(TrialConfig.model_validate({**TINY, **trial}), genotype, options(folder))
    assert not (folder / "runs").exists()


def test_a_retrain_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
    refused(tmp_path, GenotypeError, "darts", cell)
    absent = {"name": "cifar10", "dir": str(tmp_path / "absent")}
    refused(tmp_path, DataError, "absent", GENOTYPE_FILE.read_text(), data=absent)


def test_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_gpu = {"device": "cuda"}
    refused(tmp_path, ConfigError, "0 usable GPUs", GENOTYPE_FILE.read_text(), runtime=on_gpu)


def test_damaged_test_images_are_known_before_the_searches(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    from PIL import Image

    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (8, 8)).save(tmp_path / part / name / f"{number}.png")
    damaged = tmp_path / "test" / "dog" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    sweep = make_sweep(retrain="each", set={"data.name": "folder", "data.dir": str(tmp_path)})
    found = {"search": TASKS["search"]}
    with pytest.raises(DataError, match=r"dog/3.png"):
        run_sweep(sweep, options(tmp_path), tasks=found)
    assert not (tmp_path / "runs").exists()


def test_a_file_is_no_storage(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="runs is a file, but must be a folder"):
        resume_sweep(None, options(tmp_path))


def test_a_moved_storage_goes_on_in_its_own_store(
    make_sweep: MakeSweep, tmp_path: Path, two_cpus: None, interrupted: list[RunOptions]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sweep(make_sweep(), options(tmp_path / "old"), "cut", tasks=TASKS)
    plan = read_plan(Storage(tmp_path / "old" / "runs" / "cut"))
    assert plan.state.mlflow == ""
    # as earlier versions recorded it
    plan.write_state(mlflow=f"sqlite:///{tmp_path}/old/runs/mlflow.db")
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(KeyboardInterrupt):
        resume_sweep("cut", options(tmp_path / "new"), tasks=TASKS)
    assert not (tmp_path / "old").exists()
    (run,) = RunReader(f"sqlite:///{tmp_path}/new/runs/mlflow.db").list_runs()
    assert (run.state, run.tags["reason"]) == ("KILLED", "interrupted by Ctrl-C; resume the sweep")


def test_a_copied_storage_of_an_older_version_has_its_own_store(
    make_sweep: MakeSweep, tmp_path: Path, two_cpus: None, interrupted: list[RunOptions]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sweep(make_sweep(), options(tmp_path / "old"), "cut", tasks=TASKS)
    plan = read_plan(Storage(tmp_path / "old" / "runs" / "cut"))
    plan.write_state(mlflow=f"sqlite:///{tmp_path}/old/runs/mlflow.db")
    shutil.copytree(tmp_path / "old", tmp_path / "copy")
    before = (tmp_path / "old" / "runs" / "mlflow.db").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        resume_sweep("cut", options(tmp_path / "copy"), tasks=TASKS)
    assert (tmp_path / "old" / "runs" / "mlflow.db").read_bytes() == before
    assert read_plan(Storage(tmp_path / "copy" / "runs" / "cut")).state.mlflow == ""
