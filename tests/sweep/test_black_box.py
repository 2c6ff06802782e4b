"""Black-box searches as trials: chosen by the trial, killed and resumed, tracked, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.sweep import RunOptions, load_sweep, run_search
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phases import search_jobs
from tune_nas.sweep.resolve import resolve_trials
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tasks import Inputs
from tune_nas.testing.search_contract import SMALL_SPACE
from tune_nas.testing.states import UNEQUAL_BY_NATURE
from tune_nas.tracking import RunReader

MAIN = "from tune_nas.cli.app import main; main()"
TRIAL: dict[str, Any] = {
    "name": "halving",
    "space": str(SMALL_SPACE),
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
    "retrain": {"init_channels": 2, "cells": 3, "batch_size": 8, "epochs": 2},
    "strategy": {
        "kind": "successive-halving",
        "budget": 40,
        "levels": [1, 4, 12],
        "halving": {"candidates": 4},
    },
    "runtime": {"device": "cpu"},
}


def write(folder: Path, content: dict[str, Any], name: str = "halving.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def lasting(metrics: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if key not in UNEQUAL_BY_NATURE}


def searched(storage: Path) -> list[dict[str, float]]:
    """Return the recorded epochs of a search; none while it is not recorded."""
    records = list(Records(Storage(storage / "halving"), "search"))
    return [lasting(epoch) for epoch in records[0].history] if records else []


@pytest.mark.sweep
def test_a_search_killed_by_the_system_is_resumed(tmp_path: Path) -> None:
    """By the command line: same epochs as a search in this process, and files in MLflow."""
    file, storage = write(tmp_path, TRIAL), tmp_path / "runs"
    options = ["--storage", str(storage), "--quiet"]
    with (tmp_path / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "search", str(file), *options],
            stdout=output,
            stderr=output,
            cwd=tmp_path,
            start_new_session=True,  # with Ray's processes, which are killed too
        )
        deadline = time.monotonic() + 180
        while len(searched(storage)) < 9:  # in the second job of the second level
            assert process.poll() is None, (tmp_path / "output.txt").read_text()
            assert time.monotonic() < deadline, (tmp_path / "output.txt").read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert 9 <= len(searched(storage)) < 40
    assert list((storage / "halving/search/search-00000/candidates").iterdir())
    resumed = subprocess.run(
        [sys.executable, "-c", MAIN, "resume", "halving", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "valid accuracy of the best candidate" in resumed.stdout
    assert "candidates that were trained shortly" in resumed.stdout
    alone = CandidateSearch(load_trial(file))
    expected = []
    while not alone.done:
        expected.append(lasting(alone.run_epoch()))
    assert searched(storage) == expected
    (record,) = Records(Storage(storage / "halving"), "search")
    result = alone.result()
    assert result is not None and record.genotype == result.to_yaml()
    assert record.reason == alone.remarks().get("ended", "")
    assert record.job.task == "candidates"
    for folder in record.folders:  # the states of its candidates are gone
        assert not (Path(folder) / "candidates").exists()
    reader = RunReader(f"sqlite:///{storage / 'mlflow.db'}")
    (run,) = [run for run in reader.list_runs() if run.trial_id == "search-00000"]
    (table,) = (storage / "mlartifacts").rglob("candidates.csv")
    assert table.read_text() == alone.artifacts()["candidates.csv"]
    beside = storage / "halving" / "candidates" / "search-00000.csv"
    assert beside.read_text() == table.read_text()
    assert "halving/candidates\n" in resumed.stdout
    assert run.metrics["valid_accuracy"] == expected[-1]["valid_accuracy"]


def test_the_task_of_each_trial_of_a_mixed_sweep(tmp_path: Path) -> None:
    file = write(tmp_path, TRIAL)
    sweep = {
        "parameters": {"trial": {"grid": [str(file), "darts-1st"]}},
        "set_in": {"darts-1st": {"schedule.epochs": 3}},
        "seeds": 2,
    }
    loaded = load_sweep(write(tmp_path, sweep, "mixed.yaml"))
    jobs = search_jobs(resolve_trials(loaded), "", loaded.task)
    assert [(job.task, job.seed, job.epochs) for job in jobs] == [
        *(("candidates", 0, 40), ("candidates", 1, 40)),
        *(("search", 0, 3), ("search", 1, 3)),
    ]
    longer = load_sweep(tmp_path / "mixed.yaml", epochs=50)
    assert {job.epochs for job in search_jobs(resolve_trials(longer), "")} == {50}
    with pytest.raises(ConfigError, match=r"'darts-1st' has 3 epochs and '.*halving\.yaml' 40"):
        load_sweep(tmp_path / "mixed.yaml", scheduler="asha")


def test_the_folders_of_a_trial_are_not_stored() -> None:
    """They are known while a trial runs; a moved storage has others."""
    job = Job("search-00000", "candidates", "search", TrialConfig(), inputs=Inputs(folders=("a",)))
    assert Job.from_dict(job.to_dict()).inputs == Inputs()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy.budget": 3}, "must be >= 12, the epochs of one candidate"),
        ({"strategy.levels": [4, 4]}, "must increase from level to level"),
        ({"strategy.kind": "best"}, "must be one of random, evolution"),
        ({"strategy.evolution.population": 3}, "it needs strategy.kind 'evolution'"),
        ({"schedule.epochs": 3}, "has no effect where strategy is given"),
        ({"relaxation.kind": "sigmoid"}, "has no effect where strategy is given"),
        ({"space.cells": 5}, "has no effect where strategy is given"),
        ({"data.augment.cutout": 4}, "has no effect where strategy is given"),
    ],
)
def test_keys_that_do_not_fit(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_trial(write(tmp_path, TRIAL), settings)


def test_a_strategy_is_not_made_by_one_of_its_options() -> None:
    with pytest.raises(
        ConfigError, match=r"strategy\.budget is set, but the trial has no strategy"
    ):
        load_trial("darts-1st", {"strategy.budget": 40})
    own = load_trial("darts-1st", {"strategy.kind": "random", "strategy.budget": 40})
    assert own.strategy is not None and own.strategy.budget == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retrain.warmup_epochs": 2, "strategy.levels": [1]}, "must be <= 1, the epochs of a"),
        ({"retrain.init_channels": 65536}, "retrain.init_channels"),
        ({"data.train_portion": 0.01}, "data.train_portion is 0.01"),
        ({"strategy.kind": "no_such_module:Best"}, "importing it fails"),
    ],
)
def test_what_cannot_start_is_refused_before_anything_is_written(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    options = RunOptions(storage=str(tmp_path / "runs"), quiet=True)
    trial = load_trial(write(tmp_path, TRIAL), settings)
    with pytest.raises(ConfigError, match=message):
        run_search(trial, options)
    assert not (tmp_path / "runs").exists()


def test_swept_keys_of_candidates_have_an_effect_without_retraining(tmp_path: Path) -> None:
    """The section ``retrain`` trains candidates; its length is that of the later run alone."""
    file = write(tmp_path, TRIAL)

    def sweep(key: str, values: list[Any]) -> Path:
        content = {"trial": str(file), "parameters": {key: {"grid": values}}, "retrain": 0}
        return write(tmp_path, content, "sweep.yaml")

    load_sweep(sweep("retrain.learning_rate", [0.1, 0.2]))
    load_sweep(sweep("strategy.halving.candidates", [4, 8]))
    with pytest.raises(ConfigError, match=r"retrain\.epochs is swept, but has no effect"):
        load_sweep(sweep("retrain.epochs", [2, 3]))
    with pytest.raises(ConfigError, match=r"strategy\.nosh\.pool is swept, but has no effect"):
        load_sweep(sweep("strategy.nosh.pool", [20, 30]))
