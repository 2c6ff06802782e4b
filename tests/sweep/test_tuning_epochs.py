"""Searches that tune: their length is known everywhere, and their decisions are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from standin import MakeSweep

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.sweep import estimate
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phase_progress import PhaseProgress
from tune_nas.sweep.progress_display import ProgressDisplay
from tune_nas.sweep.ray.callbacks import Recorder
from tune_nas.sweep.ray.progress import ProgressCallback
from tune_nas.sweep.ray.scheduler import make_scheduler
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.result_recorder import ResultRecorder
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.trial_values import portable

PT = {"selection.kind": "perturbation", "selection.perturbation.interval": 2}
TINY = {
    "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
    "schedule": {"epochs": 4, "batch_size": 8},
}


class Trial:
    trial_id = "search-00000"


def job(trial: TrialConfig) -> Job:
    return Job("search-00000", "search", "search", portable(trial, ""))


def test_a_job_counts_the_epochs_of_its_tuning() -> None:
    trial = with_overrides(TINY, {**PT, "retrain.epochs": 9})
    whole = job(trial)
    assert (whole.epochs, whole.starts_after) == (4 + 2 * 5 + 1, 0)
    goes_on = job(with_overrides(trial, {"start_from": "checkpoint"}))
    assert (goes_on.epochs, goes_on.starts_after) == (15, 4)
    assert goes_on.trial.start_from == str(Path("checkpoint").absolute())
    retrain = Job("retrain-00000", "retrain", "retrain", goes_on.trial)
    assert (retrain.epochs, retrain.starts_after) == (9, 0)
    assert Job.from_dict(whole.to_dict()).epochs == 15


def test_time_left_and_lines_of_a_search_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = Records(Storage(tmp_path), "search")
    record = records.start(job(with_overrides(TINY, {**PT, "start_from": "checkpoint"})))
    assert record.epochs_left == 11
    progress = ProgressCallback(
        ProgressDisplay(PhaseProgress(records, 1, "valid_accuracy"), live=False)
    )
    recorder = Recorder(ResultRecorder(records, "valid_accuracy"))
    words = "normal 0->2 nor_conv_3x3"
    for epoch, decided in ((5, words), (6, "")):
        result: dict[str, Any] = {"epoch": epoch, "valid_accuracy": 1.0, "done": False}
        result |= {"decisions": decided} if decided else {}
        recorder.on_trial_result(0, [], Trial(), result)
        progress.on_trial_result(0, [], Trial(), result)
    assert record.epochs_left == 9
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["search: 1 trial", f"search seed=0: epoch 5/15: {words}"]
    assert "decisions" not in record.history[0]


def test_asha_runs_to_the_end_of_the_tuning(make_sweep: MakeSweep, tmp_path: Path) -> None:
    changes = {"set": {**PT, "space.name": "nasbench201"}, "scheduler": "asha", "epochs": 5}
    sweep = make_sweep(**changes)
    job_of = Job("a", "search", "search", base_trials(sweep).first)
    asha = make_scheduler(sweep, job_of.epochs, Records(Storage(tmp_path), "search"))
    assert asha._max_t == job_of.epochs == 5 + 11


@pytest.mark.parametrize(
    "parameters",
    [
        {"selection.kind": {"grid": ["magnitude", "perturbation"]}},
        {"selection.perturbation.interval": {"grid": [1, 2]}},
        {"space.name": {"grid": ["darts", "nasbench201"]}},
    ],
)
@pytest.mark.parametrize("searcher", ["grid", "random"])
def test_asha_refuses_trials_that_tune_for_different_times(
    parameters: dict[str, Any], searcher: str, make_sweep: MakeSweep
) -> None:
    fixed = {"selection.kind": "perturbation"} if "selection.kind" not in parameters else {}
    sweep = {"parameters": parameters, "set": fixed, "searcher": searcher}
    assert make_sweep(**sweep).scheduler == "none"
    with pytest.raises(ConfigError, match=r"trials of one length.* epochs and '.*' \d+"):
        make_sweep(**sweep, scheduler="asha")


def test_the_estimate_counts_them(make_sweep: MakeSweep) -> None:
    def epochs(**changes: Any) -> int:
        fixed = {
            "space.name": "nasbench201",
            "space.init_channels": 2,
            "space.cells": 1,
            "data.name": "fake",
            **changes,
        }
        sweep = make_sweep(set=fixed, epochs=2)
        return int(estimate(sweep)["search_epochs"])

    assert epochs() == 3 * 2
    assert epochs(**PT) == 3 * (2 + 11)
