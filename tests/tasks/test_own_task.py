"""A task of a user's own in a sweep: run in workers, tracked, killed and resumed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tune_nas.sweep import RunOptions, load_sweep, run_sweep
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.trainable import EpochTrainable
from tune_nas.tasks import Inputs
from tune_nas.tracking import Tracker

EXAMPLES = Path(__file__).parents[2] / "examples"
TASK = "own_tasks:LinearProbe"


def trainable(recorded: int = 0, **inputs: str) -> EpochTrainable:
    job = Job("search-00000", TASK, "search", load_sweep_trial(), inputs=Inputs(**inputs))
    return EpochTrainable({"job": job.to_dict(), "resume_from": [], "recorded": recorded})


def load_sweep_trial():  # type: ignore[no-untyped-def]
    from tune_nas.library import load_trial

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
def test_the_example_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("own_tasks.py", "own-task.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    outcome = run_sweep(load_sweep("own-task.yaml"), RunOptions(storage="runs", quiet=True))
    assert [result.status for result in outcome.results] == ["finished"] * 4
    assert all(result.genotype is None for result in outcome.results)
    means = [row.statistics["valid_accuracy"].mean for row in outcome.report.rows()]
    assert means[1] > means[0] > 50  # percent, of ten digits
    assert outcome.best_genotype_path is None
    tracker = Tracker(outcome.mlflow_uri)
    run = next(run for run in tracker.list_runs() if run.trial_id == "search-00000")
    assert tracker.read_artifact(run.run_id, "norms.csv").startswith(b"class,norm\n0,")
