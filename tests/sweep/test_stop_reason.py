"""A search that stops itself: its reason is passed from the rule to the report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tune_nas.config import TrialConfig
from tune_nas.report import Report
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phase_progress import PhaseProgress
from tune_nas.sweep.progress_display import ProgressDisplay
from tune_nas.sweep.ray.callbacks import Recorder
from tune_nas.sweep.ray.progress import ProgressCallback
from tune_nas.sweep.ray.trainable import EpochTrainable
from tune_nas.sweep.result_recorder import ResultRecorder
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

EPOCHS = 4
STOPPING: dict[str, Any] = {
    "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
    "data": {"name": "fake", "train_images": 16, "resolution": 8},
    "schedule": {
        "epochs": EPOCHS,
        "batch_size": 8,
        # a bound that any cell meets, for two epochs
        "stop": {"convolutions": {"normal": 6}, "patience": 2},
    },
    "retrain": {"init_channels": 4, "cells": 1},
}


@pytest.fixture
def job() -> Job:
    trial = TrialConfig.model_validate(STOPPING)
    return Job("search-00000", "search", "search", trial, {"update.lambda": 1.0})


def test_the_reason_reaches_record_report_and_progress(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = Records(Storage(str(tmp_path)), "search")
    records.start(job)
    recorder = Recorder(ResultRecorder(records, "valid_accuracy"))
    progress = ProgressCallback(
        ProgressDisplay(PhaseProgress(records, 1, "valid_accuracy"), live=False)
    )
    trainable = EpochTrainable({"job": job.to_dict(), "resume_from": [], "recorded": 0})
    trial = SimpleNamespace(trial_id=job.id)
    results = []
    while not results or not results[-1]["done"]:
        results.append(trainable.step())
        recorder.on_trial_result(0, [trial], trial, results[-1])
    records.end(job.id)
    progress.on_trial_complete(0, [trial], trial)

    assert [result.get("ended") is not None for result in results] == [False, True]
    reason = results[-1]["ended"]
    assert reason.startswith("stopped at epoch 2: ")
    assert reason.endswith(" in the normal cell, for 2 epochs")
    again = Records(Storage(str(tmp_path)), "search")
    for held in (records, again):
        assert held[job.id].status == "finished"
        assert held[job.id].epochs_left == 0
        assert held[job.id].result().reason == reason
    assert f"1/1: λ=1 seed=0: {reason}, valid_accuracy " in capsys.readouterr().err
    report = Report(
        "stopping", ["update.lambda"], [again[job.id].result()], "valid_accuracy", "max"
    )
    assert report.notes() == [f"search search-00000 (λ = 1, seed 0) finished: {reason}"]
    assert reason in report.markdown()


def test_a_trial_that_a_scheduler_stops_is_not_taken_for_one_that_stopped_itself(
    job: Job, tmp_path: Path
) -> None:
    records = Records(Storage(str(tmp_path)), "search")
    records.start(job)
    result = {"epoch": 1, "valid_accuracy": 10.0, "done": True}
    Recorder(ResultRecorder(records, "valid_accuracy")).on_trial_result(
        0, [], SimpleNamespace(trial_id=job.id), result
    )
    assert records[job.id].status == "stopping"
    assert records[job.id].reason.startswith("stopped by ASHA after epoch 1 of 4")
