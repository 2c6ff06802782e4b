"""The number of transactions of a trial does not depend on the number of trials."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from counted_calls import Counts, count_calls
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from tune_nas.tracking import End, Experiment, MlflowTracker, RunReader, RunWriter, TrackedTrial

WRITES = ("create_run", "log_batch", "log_inputs", "update_run_info", "set_tag")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """The number of calls of MLflow's store, by name."""
    counts: Counts = Counter()
    count_calls(monkeypatch, counts, SqlAlchemyStore, (*WRITES, "_search_runs", "get_run"))
    return counts


def _trial(number: int) -> TrackedTrial:
    return TrackedTrial(
        trial_id=f"t{number}",
        phase="search",
        settings={"data": {"name": "digits"}, "seed": number},
        space="darts",
        name=f"trial {number}",
        history=[{"epoch": 1, "valid_accuracy": 50.0}],
        end=End(),
    )


def _writer(store: str) -> RunWriter:
    experiment = Experiment(store)
    tracker = MlflowTracker(experiment)
    return RunWriter(tracker, RunReader(experiment), tracker.sweep_run("s", {}))


def test_a_new_trial_is_written_in_few_calls_and_without_a_search(
    tmp_path: Path, calls: Counts
) -> None:
    writer = _writer(f"sqlite:///{tmp_path}/mlflow.db")
    writer.write(_trial(0))  # the first one asks once which runs there are
    calls.clear()
    for number in range(1, 4):
        writer.write(_trial(number))
    each = {name: count / 3 for name, count in calls.items()}
    # parameters, metrics of the epoch, and the tags of its end; MLflow itself reads the run once
    once = dict.fromkeys(("create_run", "log_inputs", "update_run_info", "get_run"), 1)
    assert each == {**once, "log_batch": 3}


def test_a_resumed_sweep_asks_once_and_continues_the_runs(tmp_path: Path, calls: Counts) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    writer = _writer(store)
    for number in range(3):
        writer.write(_trial(number))
    again = _writer(store)
    calls.clear()
    for number in range(3, 6):
        again.write(_trial(number))
    assert calls["_search_runs"] == 1
    calls.clear()
    again.write(_trial(1))  # that it has a run is known; which one, is searched for
    assert calls["_search_runs"] == 1 and calls["create_run"] == 0
    reader = RunReader(store)
    trials = sorted(run.trial_id or "" for run in reader.list_runs() if run.phase == "search")
    assert trials == [f"t{number}" for number in range(6)]


def test_a_run_whose_creation_was_not_answered_is_not_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    writer = _writer(store)
    create = SqlAlchemyStore.create_run

    def lost(self: SqlAlchemyStore, *args: object, **more: object) -> object:
        create(self, *args, **more)
        raise ConnectionError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(SqlAlchemyStore, "create_run", lost)
        with pytest.raises(ConnectionError):
            writer.write(_trial(0))
    writer.forget()
    writer.write(_trial(0))
    assert sum(run.phase == "search" for run in RunReader(store).list_runs()) == 1
