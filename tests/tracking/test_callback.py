"""The callback against stand-ins of Ray's trials; the store is read through MlflowClient."""

import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ray.tune import Checkpoint, TuneError

from tune_nas.errors import StorageError
from tune_nas.spaces import Genotype
from tune_nas.tracking import Tracker, TrackerSettings, TrackingCallback, TrialFacts
from tune_nas.tracking.callback import metrics_of

EPOCHS = 4


@dataclasses.dataclass
class FakeTrial:
    """As much of Ray's Trial as the callback uses."""

    trial_id: str
    config: dict[str, Any]
    status: str = "RUNNING"
    last_result: dict[str, Any] = dataclasses.field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    error: str = ""
    num_failures: int = 0
    error_file: str | None = None

    def get_error(self) -> TuneError | None:
        return TuneError(self.error) if self.error else None


def describe(trial_id: str, config: Mapping[str, Any]) -> TrialFacts:
    return TrialFacts(
        stage=config.get("stage", "search"),
        settings={"update": {"lambda": config["lambda"]}, "space": {"name": "nasbench201"}},
        epochs=EPOCHS,
        space="nasbench201",
        tags={"update.lambda": str(config["lambda"])},
        parent=config.get("parent"),
        parent_run=config.get("parent_run"),
    )


def _file(number: int, error: str) -> str:
    """What Ray writes into a trial's error file."""
    before = f"Failure # {number} (occurred at 2026-01-01_00-00-00)\n"
    return f'{before}Traceback (most recent call last):\n  File "x.py", line 1\n{error}\n'


class Driver:
    """Plays Ray's part: a process that runs trials and calls the callback."""

    def __init__(self, store: str) -> None:
        self.client = MlflowClient(store)
        self.sweep = Tracker(store).sweep_run("lambda", {"searcher": "grid"})
        self.callback = TrackingCallback(TrackerSettings(store), self.sweep, describe)

    def start(self, trial: FakeTrial) -> None:
        trial.status = "PENDING"
        self.callback.on_trial_start(0, [trial], trial)
        trial.status = "RUNNING"

    def epochs(self, trial: FakeTrial, *steps: int) -> None:
        for step in steps:
            trial.last_result = {
                "epoch": step,
                "valid_accuracy": 10.0 * step,
                "learning_rate": {"weights": 0.1},
                "genotype_text": "|skip|",
                "done": step == EPOCHS,
                "training_iteration": step + 7,
                "time_total_s": 1.5,
                "config": {"lambda": 1.0},
            }
            self.callback.on_trial_result(0, [trial], trial, trial.last_result)

    def complete(self, trial: FakeTrial) -> None:
        self.callback.on_trial_complete(0, [trial], trial)
        trial.status = "TERMINATED"

    def fail(self, trial: FakeTrial, error: str) -> None:
        trial.status, trial.error = "ERROR", _file(2, error)
        self.callback.on_trial_error(0, [trial], trial)

    def run_of(self, trial: FakeTrial) -> Run:
        runs = [run for run in self.runs() if run.data.tags.get("tune_nas.trial_id")]
        (found,) = [run for run in runs if run.data.tags["tune_nas.trial_id"] == trial.trial_id]
        return found

    def runs(self) -> list[Run]:
        experiment = self.client.get_experiment_by_name("tune-nas")
        return list(self.client.search_runs([experiment.experiment_id]))

    def steps(self, trial: FakeTrial, metric: str = "valid_accuracy") -> list[int]:
        history = self.client.get_metric_history(self.run_of(trial).info.run_id, metric)
        return [entry.step for entry in history]


@pytest.fixture
def driver(store: str) -> Driver:
    return Driver(store)


def test_a_trial_that_finishes(driver: Driver) -> None:
    trial = FakeTrial("t1", {"lambda": float("inf")})
    driver.start(trial)
    driver.epochs(trial, 1, 2, 3, 4)
    driver.complete(trial)
    run = driver.run_of(trial)
    assert run.info.status == "FINISHED"
    assert run.data.tags["status"] == "finished"
    assert run.data.tags["update.lambda"] == "inf"
    assert run.data.params == {"update.lambda": "inf", "space.name": "nasbench201"}
    assert run.data.metrics == {"valid_accuracy": 40.0, "learning_rate/weights": 0.1, "epoch": 4.0}
    assert driver.steps(trial) == [1, 2, 3, 4]
    assert driver.callback.problems == []


def test_a_trial_that_is_stopped_says_by_whom_and_when(driver: Driver) -> None:
    trial = FakeTrial("t1", {"lambda": 1.0})
    driver.start(trial)
    driver.epochs(trial, 1, 2)
    driver.complete(trial)
    run = driver.run_of(trial)
    assert run.info.status == "FINISHED"
    assert run.data.tags["status"] == "stopped early"
    reason = "stopped by ASHA after epoch 2 of 4, at valid_accuracy 20"
    assert run.data.tags["reason"] == reason


def test_a_trial_that_stops_itself_has_finished_and_says_why(driver: Driver) -> None:
    trial = FakeTrial("t1", {"lambda": 1.0})
    driver.start(trial)
    driver.epochs(trial, 1, 2)
    trial.last_result["ended"] = "stopped at epoch 2: 6 skip connections"
    driver.complete(trial)
    run = driver.run_of(trial)
    assert run.info.status == "FINISHED"
    assert run.data.tags["status"] == "finished"
    assert run.data.tags["reason"] == "stopped at epoch 2: 6 skip connections"


def test_a_trial_that_fails_has_its_error_in_one_line(driver: Driver) -> None:
    trial = FakeTrial("t1", {"lambda": 1.0}, num_failures=1)
    driver.start(trial)
    driver.epochs(trial, 1)
    trial.error = _file(1, "ValueError: first time")
    driver.callback.on_trial_recover(0, [trial], trial)
    assert driver.run_of(trial).info.status == "RUNNING"
    assert driver.run_of(trial).data.tags["last_error"] == "ValueError: first time"
    driver.fail(trial, "ValueError: loss is nan\nsecond line")
    run = driver.run_of(trial)
    assert run.info.status == "FAILED"
    assert run.data.tags["status"] == "failed"
    assert run.data.tags["error"] == "ValueError: loss is nan"
    assert run.data.tags["failures"] == "1"


def test_the_newest_checkpoint_gives_genotype_and_alphas(
    driver: Driver, store: str, nb201: str, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint_000003"
    folder.mkdir()
    genotype = Genotype.parse(nb201)
    (folder / "genotype.yaml").write_text(genotype.to_yaml())
    (folder / "best.yaml").write_text("3: {}\n")
    (folder / "alphas.csv").write_text(
        "epoch,cell,source,target,operation,alpha,weight\n1,normal,0,1,none,0.0,1.0\n"
    )
    trial = FakeTrial("t1", {"lambda": 1.0}, checkpoint=Checkpoint(str(folder)))
    driver.start(trial)
    driver.epochs(trial, 1, 2, 3, 4)
    driver.complete(trial)
    run = driver.run_of(trial)
    assert run.data.tags["genotype"] == nb201
    names = {entry.path for entry in driver.client.list_artifacts(run.info.run_id)}
    assert names == {
        *("genotype.yaml", "cells.svg", "cells.png", "alphas.csv", "alphas.png", "best.yaml"),
        "parameters.yaml",
    }
    text = Tracker(store).read_artifact(run.info.run_id, "genotype.yaml").decode()
    assert Genotype.from_yaml(text) == genotype


def test_a_damaged_genotype_is_a_problem_and_no_failure(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "genotype.yaml").write_text("cells: [")
    trial = FakeTrial("t1", {"lambda": 1.0}, checkpoint=Checkpoint(str(tmp_path)))
    driver.start(trial)
    driver.epochs(trial, 4)
    driver.complete(trial)
    assert driver.run_of(trial).info.status == "FINISHED"
    assert len(driver.callback.problems) == 1
    assert "t1" in driver.callback.problems[0]


def test_a_killed_driver_and_its_successor_make_one_run(store: str) -> None:
    first = Driver(store)
    done, trial = FakeTrial("t1", {"lambda": 0.0}), FakeTrial("t2", {"lambda": 1.0})
    for each in (done, trial):
        first.start(each)
    first.epochs(done, 1, 2, 3, 4)
    first.complete(done)
    first.epochs(trial, 1, 2, 3)
    ended = first.run_of(done).info.end_time
    # Killed here, with a checkpoint of epoch 1: its successor repeats epochs 2 and 3.
    second = Driver(store)
    second.callback = pickle.loads(pickle.dumps(first.callback))
    second.start(trial)
    second.epochs(trial, 2, 3, 4)
    second.complete(trial)
    second.callback.on_experiment_end([done, trial])
    assert len(second.runs()) == 3
    assert second.steps(trial) == [1, 2, 3, 4]
    assert second.steps(trial, "epoch") == [1, 2, 3, 4]
    assert [second.run_of(each).info.status for each in (done, trial)] == ["FINISHED"] * 2
    assert second.run_of(done).info.end_time == ended


def test_an_interrupted_sweep_leaves_no_run_running_and_goes_on(store: str) -> None:
    first = Driver(store)
    trial, waiting = FakeTrial("t1", {"lambda": 1.0}), FakeTrial("t2", {"lambda": 2.0}, "PENDING")
    first.start(trial)
    first.epochs(trial, 1, 2)
    first.callback.on_experiment_end([trial, waiting])
    run = first.run_of(trial)
    assert (run.info.status, run.data.tags["status"]) == ("KILLED", "interrupted")
    assert run.data.tags["reason"] == "interrupted after epoch 2 of 4; resume the sweep"
    assert len(first.runs()) == 2
    second = Driver(store)
    second.start(trial)
    assert second.run_of(trial).info.status == "RUNNING"
    second.epochs(trial, 3, 4)
    second.complete(trial)
    run = second.run_of(trial)
    assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "finished")
    assert "reason" not in run.data.tags


def test_the_end_of_the_experiment_puts_right_what_a_kill_cut_off(store: str) -> None:
    first = Driver(store)
    finished, failed = FakeTrial("t1", {"lambda": 1.0}), FakeTrial("t2", {"lambda": 2.0})
    for trial in (finished, failed):
        first.start(trial)
        first.epochs(trial, 1, 2, 3, 4)
    # Ray knows of both ends, MLflow of neither; a third trial has no run at all.
    finished.status, failed.status, failed.error = "TERMINATED", "ERROR", "ValueError: no"
    lost = FakeTrial("t3", {"lambda": 3.0}, "TERMINATED", {"epoch": 4})
    second = Driver(store)
    second.callback.on_experiment_end([finished, failed, lost])
    states = [second.run_of(trial).info.status for trial in (finished, failed, lost)]
    assert states == ["FINISHED", "FAILED", "FINISHED"]


def test_a_retrain_hangs_under_its_search(driver: Driver) -> None:
    search = FakeTrial("t1", {"lambda": 1.0})
    driver.start(search)
    driver.epochs(search, 4)
    driver.complete(search)
    inside = FakeTrial("t2", {"lambda": 1.0, "stage": "retrain", "parent": "t1"})
    run_id = driver.run_of(search).info.run_id
    outside = FakeTrial("t3", {"lambda": 1.0, "stage": "retrain", "parent_run": run_id})
    orphan = FakeTrial("t4", {"lambda": 1.0, "stage": "retrain", "parent": "gone"})
    for trial in (inside, outside, orphan):
        driver.start(trial)
    parents = [
        driver.run_of(trial).data.tags["mlflow.parentRunId"] for trial in (inside, outside, orphan)
    ]
    assert parents == [run_id, run_id, driver.sweep]
    assert driver.run_of(search).info.status == "FINISHED"


def test_a_store_that_is_lost_on_the_way_takes_nothing_down(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = FakeTrial("t1", {"lambda": 1.0})
    driver.start(trial)
    driver.epochs(trial, 1)
    attempts = []

    def lost(self: Tracker, *args: object) -> bool:
        attempts.append(args)
        raise StorageError("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "log_epoch", lost)
        driver.epochs(trial, 2, 3, 4)
        driver.complete(trial)
        trial.status = "TERMINATED"
    assert len(attempts) == 1  # not once an epoch: each attempt on a lost server takes seconds
    assert driver.callback.problems == ["MLflow run of trial t1: the server is gone"]
    driver.callback.on_experiment_end([trial])
    assert driver.steps(trial) == [1, 2, 3, 4]
    assert driver.run_of(trial).info.status == "FINISHED"


def test_only_numbers_of_our_own_are_metrics() -> None:
    result = {"a": 1, "b": {"c": 2.5, "date": 3}, "t": "x", "flag": True, "date": 4, "pid": 5}
    assert metrics_of(result) == {"a": 1.0, "b/c": 2.5, "b/date": 3.0}
