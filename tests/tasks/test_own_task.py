"""A task of a user's own in a sweep: run in workers, tracked, killed and resumed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tune_nas.config import TrialConfig
from tune_nas.library import load_trial
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.trainable import EpochTrainable
from tune_nas.tasks import Inputs
from tune_nas.tracking import RunReader

EXAMPLES = Path(__file__).parents[2] / "examples"
TASK = "own_tasks:LinearProbe"


def trainable(recorded: int = 0, **inputs: str) -> EpochTrainable:
    job = Job("search-00000", TASK, "search", short_trial(), inputs=Inputs(**inputs))
    return EpochTrainable({"job": job.to_dict(), "resume_from": [], "recorded": recorded})


def short_trial() -> TrialConfig:
    return load_trial("darts-1st", {"retrain.epochs": 4})


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)


def test_it_goes_on_from_the_checkpoint_of_another_job(examples: None, tmp_path: Path) -> None:
    """As a candidate that is promoted does: all that it has not reported itself is reported."""
    whole = trainable()
    expected = [whole.step() for _ in range(4)]
    first = trainable()
    for _ in range(2):
        first.step()
    first.save_checkpoint(str(tmp_path / "given"))
    promoted = trainable(checkpoint=str(tmp_path / "given"))
    assert [promoted.step() for _ in range(4)] == expected
    assert expected[-1]["done"] and "genotype" not in expected[-1]


@pytest.mark.sweep
def test_the_example_is_swept(tmp_path: Path) -> None:
    """In a process and a Ray of its own: workers import the task from the folder of the command."""
    for name in ("own_tasks.py", "own-task.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    command = [Path(sys.executable).with_name("tune-nas"), "sweep", "own-task.yaml", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "runs/own-task/results.json").read_text())
    assert [result["status"] for result in results] == ["finished"] * 4
    assert all(result["genotype"] is None for result in results)
    accuracy = {
        rate: [
            r["metrics"]["valid_accuracy"]
            for r in results
            if r["parameters"]["retrain.learning_rate"] == rate
        ]
        for rate in (0.1, 1.0)
    }
    assert min(accuracy[1.0]) > max(accuracy[0.1]) > 20  # percent, of ten digits
    assert not (tmp_path / "runs/own-task/genotypes/best.yaml").exists()
    reader = RunReader(f"sqlite:///{tmp_path / 'runs/mlflow.db'}")
    run = next(run for run in reader.list_runs() if run.trial_id == "search-00000")
    assert reader.read_artifact(run.run_id, "norms.csv").startswith(b"class,norm\n0,")
