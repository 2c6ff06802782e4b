"""Ray's workers import a custom data set, also for retraining and after a resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tune_nas.library import load_trial
from tune_nas.sweep import RunOptions, resume_sweep, run_retrain, run_search
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.storage import Storage

pytestmark = pytest.mark.sweep
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_workers_import_the_data_set_of_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_session: None
) -> None:
    """The module is on no path: it is found in the folder of the trial's file."""
    shutil.copy(EXAMPLES / "own_data.py", tmp_path / "data_of_workers.py")
    text = (EXAMPLES / "own-data.yaml").read_text(encoding="utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("own_data:", "data_of_workers:"), encoding="utf-8")
    settings = {
        "space.init_channels": 2,
        "data.train_images": 32,
        "schedule.epochs": 1,
        "schedule.batch_size": 8,
        "retrain.epochs": 1,
        "retrain.init_channels": 2,
    }
    trial = load_trial(file, settings)
    options = RunOptions(storage=str(tmp_path / "runs"), quiet=True)
    (searched,) = run_search(trial, options, "searched").results
    assert (searched.status, searched.error) == ("finished", None)
    assert searched.genotype is not None

    # Resumed in another folder, with the search to be run again.
    (record,) = (tmp_path / "runs" / "searched" / "search" / "records").glob("*.json")
    record.unlink()
    read_plan(Storage(tmp_path / "runs" / "searched")).write_state(status="running")
    monkeypatch.chdir("/")
    (again,) = resume_sweep("searched", options).results
    assert (again.status, again.genotype) == ("finished", searched.genotype)

    (retrained,) = run_retrain(trial, searched.genotype, options, "retrained").results
    assert (retrained.phase, retrained.status) == ("retrain", "finished")
