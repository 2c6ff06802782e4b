"""The store reflects the record of a trial; the store is read through MlflowClient."""

import dataclasses
import math
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tune_nas.spaces import Genotype
from tune_nas.tracking import End, Experiment, MlflowTracker, RunReader, RunWriter, TrackedTrial

EPOCHS = 4


def history(*epochs: int) -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "valid_accuracy": 10.0 * epoch, "learning_rate/weights": 0.1}
        for epoch in epochs
    ]


def make_trial(trial_id: str = "t1", *epochs: int, **changes: Any) -> TrackedTrial:
    content = {
        "trial_id": trial_id,
        "phase": "search",
        "settings": {"update": {"lambda": math.inf}, "space": {"name": "nasbench201"}},
        "space": "nasbench201",
        "name": f"search {trial_id}",
        "tags": {"update.lambda": "inf"},
        "history": history(*epochs),
        "times": [1.7e9 + epoch for epoch in epochs],
    }
    return TrackedTrial(**{**content, **changes})


class Store:
    """A store with a sweep, its writer, and a look at it from outside."""

    def __init__(self, uri: str) -> None:
        experiment = Experiment(uri)
        self.client, self.experiment_id = MlflowClient(uri), experiment.experiment_id
        self.tracker, self.reader = MlflowTracker(experiment), RunReader(experiment)
        self.sweep = self.tracker.sweep_run("lambda", {"searcher": "grid"}, identity="x")
        self.writer = RunWriter(self.tracker, self.reader, self.sweep)

    def runs(self) -> list[Run]:
        experiment = self.client.get_experiment_by_name("tune-nas")
        return list(self.client.search_runs([experiment.experiment_id]))

    def run_of(self, trial_id: str) -> Run:
        (found,) = [r for r in self.runs() if r.data.tags.get("tune_nas.trial_id") == trial_id]
        return found

    def knows(self, trial: TrackedTrial) -> bool:
        runs = self.reader.trials(self.sweep)
        return self.writer.knows(trial, [run for run in runs if run.trial_id == trial.trial_id])

    def steps(self, trial_id: str, metric: str = "valid_accuracy") -> list[int]:
        entries = self.client.get_metric_history(self.run_of(trial_id).info.run_id, metric)
        return [entry.step for entry in entries]


@pytest.fixture
def opened(store: str) -> Store:
    return Store(store)


def test_a_trial_epoch_by_epoch_to_its_end(opened: Store) -> None:
    for last in range(EPOCHS + 1):
        opened.writer.write(make_trial("t1", *range(1, last + 1)))
        assert opened.run_of("t1").info.status == "RUNNING"
    opened.writer.write(make_trial("t1", 1, 2, 3, 4, end=End()))
    run = opened.run_of("t1")
    assert run.info.status == "FINISHED"
    assert run.data.tags["status"] == "finished"
    assert run.data.tags["update.lambda"] == "inf"
    assert run.data.params == {"update.lambda": "inf", "space.name": "nasbench201"}
    assert run.data.metrics == {"valid_accuracy": 40.0, "learning_rate/weights": 0.1}
    assert opened.steps("t1") == opened.steps("t1", "learning_rate/weights") == [1, 2, 3, 4]
    times = opened.client.get_metric_history(run.info.run_id, "valid_accuracy")
    assert [entry.timestamp for entry in times] == [1700000000000 + 1000 * i for i in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("end", "state", "tags"),
    [
        (
            End(outcome="stopped early", reason="stopped by ASHA after epoch 2 of 4"),
            "FINISHED",
            {"status": "stopped early", "reason": "stopped by ASHA after epoch 2 of 4"},
        ),
        (
            End(reason="stopped at epoch 2: 6 skip connections"),
            "FINISHED",
            {"status": "finished", "reason": "stopped at epoch 2: 6 skip connections"},
        ),
        (
            End("FAILED", error="ValueError: loss is nan", reason="ValueError: loss is nan"),
            "FAILED",
            {"status": "failed", "error": "ValueError: loss is nan"},
        ),
        (
            End("KILLED", reason="interrupted by Ctrl-C after epoch 2 of 4; resume the sweep"),
            "KILLED",
            {
                "status": "interrupted",
                "reason": "interrupted by Ctrl-C after epoch 2 of 4; resume the sweep",
            },
        ),
    ],
)
def test_each_end_says_what_happened(
    opened: Store, end: End, state: str, tags: dict[str, str]
) -> None:
    opened.writer.write(make_trial("t1", 1, 2, end=end))
    run = opened.run_of("t1")
    assert run.info.status == state
    assert {key: run.data.tags[key] for key in tags} == tags


def test_a_retry_is_noted(opened: Store) -> None:
    opened.writer.write(make_trial("t1", 1))
    opened.writer.write(make_trial("t1", 1, failures=1, last_error="ValueError: first time"))
    run = opened.run_of("t1")
    assert run.info.status == "RUNNING"
    assert (run.data.tags["failures"], run.data.tags["last_error"]) == (
        "1",
        "ValueError: first time",
    )


def test_the_files_of_an_ended_trial(opened: Store, nb201: str) -> None:
    csv = b"epoch,cell,source,target,operation,alpha,weight\n1,normal,0,1,none,0.0,1.0\n"
    files = {"alphas.csv": csv, "best_by_size.yaml": b"3: {}\n"}
    genotype = Genotype.parse(nb201)
    trial = make_trial("t1", 4, genotype=genotype.to_yaml(), artifacts=lambda: files)
    opened.writer.write(trial)
    assert "genotype" not in opened.run_of("t1").data.tags  # not at each epoch: drawing takes time
    opened.writer.write(dataclasses.replace(trial, end=End()))
    run = opened.run_of("t1")
    assert run.data.tags["genotype"] == nb201
    names = {entry.path for entry in opened.client.list_artifacts(run.info.run_id)}
    assert names == {
        *(
            "genotype.yaml",
            "cells.svg",
            "alphas.csv",
            "alphas.png",
            "best_by_size.yaml",
        ),
        "parameters.yaml",
    }
    text = opened.reader.read_artifact(run.info.run_id, "genotype.yaml").decode()
    assert Genotype.from_yaml(text) == genotype
    assert opened.reader.read_artifact(run.info.run_id, "alphas.csv") == csv


def test_a_damaged_genotype_is_a_remark_and_the_run_is_closed(opened: Store) -> None:
    opened.writer.write(make_trial("t1", 4, genotype="cells: [", end=End()))
    assert opened.run_of("t1").info.status == "FINISHED"
    assert list(opened.writer.remarks) == ["t1"]
    assert opened.writer.remarks["t1"].startswith("the genotype of search t1: ")


def test_a_successor_completes_the_run_and_changes_nothing_that_is_right(store: str) -> None:
    first = Store(store)
    ended, cut = make_trial("t1", 1, 2, 3, 4, end=End()), make_trial("t2", 1, 2)
    first.writer.write(ended)
    first.writer.write(cut)
    second = Store(store)
    assert second.sweep == first.sweep
    second.writer.write(make_trial("t2", 1, 2, 3, 4, end=End()))
    second.writer.write(ended)
    assert len(second.runs()) == 3
    assert second.steps("t1") == second.steps("t2") == [1, 2, 3, 4]
    assert second.knows(ended)
    assert not second.knows(dataclasses.replace(ended, end=End("FAILED")))
    assert not second.knows(make_trial("t1", 1, 2, 3, 4, 5, end=End()))
    assert not second.knows(make_trial("t3", end=End()))


def test_an_interrupted_trial_continues_in_its_run(store: str) -> None:
    first = Store(store)
    first.writer.write(make_trial("t1", 1, 2, end=End("KILLED", reason="interrupted")))
    second = Store(store)
    second.writer.write(make_trial("t1", 1, 2))
    assert second.run_of("t1").info.status == "RUNNING"
    second.writer.write(make_trial("t1", 1, 2, 3, 4, end=End()))
    run = second.run_of("t1")
    assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "finished")
    assert "reason" not in run.data.tags


def test_an_epoch_that_is_sent_twice_is_stored_once(opened: Store) -> None:
    """The answer to the first request was lost, and it is carried out after the second."""
    trial = make_trial("t1", 1, 2)
    opened.writer.write(trial)
    opened.writer.forget()
    run_id = opened.run_of("t1").info.run_id
    # read before the first request was carried out
    opened.tracker.logged_epochs(run_id, history(1, 2)).clear()
    opened.writer.write(trial)
    assert opened.steps("t1") == opened.steps("t1", "learning_rate/weights") == [1, 2]


def test_records_without_times_are_stored_once_too(opened: Store) -> None:
    trial = make_trial("t1", 1, 2, times=[])
    for _ in range(2):
        opened.writer.write(trial)
        opened.writer.forget()
        opened.tracker.logged_epochs(opened.run_of("t1").info.run_id, history(1, 2)).clear()
    assert opened.steps("t1") == [1, 2]


def test_of_two_runs_that_one_request_has_created_one_is_left(opened: Store) -> None:
    opened.writer.write(make_trial("t1", 1, 2))
    kept = opened.run_of("t1")
    twin = opened.client.create_run(opened.experiment_id, tags=dict(kept.data.tags))
    trial = make_trial("t1", 1, 2, 3, 4, end=End())
    assert not opened.knows(trial)
    opened.writer.forget()
    opened.writer.write(trial)
    assert opened.run_of("t1").info.run_id == kept.info.run_id
    assert opened.client.get_run(twin.info.run_id).info.lifecycle_stage == "deleted"

    sweep = opened.client.get_run(opened.sweep)
    opened.client.create_run(opened.experiment_id, tags=dict(sweep.data.tags))
    assert opened.tracker.sweep_run("lambda", {}, identity="x") == opened.sweep
    assert len(opened.runs()) == 2


def test_a_retraining_run_is_nested_under_its_search(opened: Store) -> None:
    opened.writer.write(make_trial("t1", 4, end=End()))
    run_id = opened.run_of("t1").info.run_id
    retrain: dict[str, Any] = {"phase": "retrain"}
    opened.writer.write(make_trial("t2", parent="t1", **retrain))
    opened.writer.write(make_trial("t3", parent_run=run_id, **retrain))
    opened.writer.write(make_trial("t4", parent="gone", **retrain))
    opened.writer.write(make_trial("t5", parent_run="0" * 32, **retrain))
    parents = [
        opened.run_of(trial).data.tags["mlflow.parentRunId"] for trial in ("t2", "t3", "t4", "t5")
    ]
    assert parents == [run_id, run_id, opened.sweep, opened.sweep]
    # One that was nested elsewhere, as its search was not there yet, is put right.
    opened.client.set_tag(opened.run_of("t2").info.run_id, "mlflow.parentRunId", opened.sweep)
    opened.writer.forget()
    opened.writer.write(make_trial("t2", 1, parent="t1", **retrain))
    assert opened.run_of("t2").data.tags["mlflow.parentRunId"] == run_id


def test_metrics_with_any_name_are_logged(opened: Store) -> None:
    metrics = {"epoch": 1, "acc@5": 50.0, "acc#5": 51.0, "genotype/skips": 2}
    opened.writer.write(make_trial("t1", history=[metrics], times=[1.0]))
    kept = opened.run_of("t1").data.metrics
    (other,) = set(kept) - {"acc_5", "genotype/skips"}
    assert other.startswith("acc_5-")
    assert kept == {"acc_5": 50.0, other: 51.0, "genotype/skips": 2.0}


def test_epochs_whose_metrics_differ_are_stored_once(opened: Store) -> None:
    """No metric is in every epoch; the last one has none at all."""
    rows: list[dict[str, float]] = [
        {"epoch": 1, "a": 1.0, "b": 1.0},
        {"epoch": 2, "b": 2.0},
        {"epoch": 3, "c": 3.0},
        {"epoch": 4},
    ]
    for last in (2, 3, 4):
        trial = make_trial("t1", history=rows[:last], times=[float(n) for n in range(last)])
        opened.writer.forget()  # as after a failed request
        opened.writer.write(trial)
        later = dataclasses.replace(trial, times=[9.0] * last)  # would be stored a second time
        opened.writer.forget()
        opened.writer.write(later)
    assert [opened.steps("t1", metric) for metric in "abc"] == [[1], [1, 2], [3]]
    ended = make_trial("t1", history=rows, times=[1.0] * 4, end=End())
    opened.writer.write(ended)
    assert opened.knows(ended)


def test_runs_of_an_earlier_version_have_the_epoch_as_a_metric(opened: Store) -> None:
    opened.writer.write(make_trial("t1"))
    run_id = opened.run_of("t1").info.run_id
    for step in (1, 2):
        for key, value in (("epoch", step), ("valid_accuracy", 10.0 * step)):
            opened.client.log_metric(run_id, key, value, 1000 * step, step)
    opened.writer.forget()
    ended = make_trial("t1", 1, 2, 3, 4, end=End())
    opened.writer.write(ended)
    assert opened.steps("t1") == [1, 2, 3, 4]
    assert opened.steps("t1", "epoch") == [1, 2]
    assert opened.knows(ended)


def test_the_accuracy_is_the_first_metric_of_a_run(opened: Store) -> None:
    """MLflow's comparison page opens on the first metric that the server returns."""
    metrics = {"epoch": 1, "train_loss": 2.0, "seconds": 1.0, "valid_accuracy": 50.0}
    opened.writer.write(make_trial("t1", history=[metrics], times=[1.0]))
    assert next(iter(opened.run_of("t1").data.metrics)) == "valid_accuracy"
