import math
import sqlite3
from pathlib import Path

import pytest
import yaml

from tune_nas.errors import StorageError
from tune_nas.spaces import Genotype, load_space
from tune_nas.tracking import MlflowTracker, RunReader
from tune_nas.tracking.names import as_text, flatten


def rows(store: str, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(store.removeprefix("sqlite:///"))
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def open_sweep(tracker: MlflowTracker) -> tuple[str, str, str]:
    """A sweep with a search and its retraining run, opened for the first time or again."""
    sweep = tracker.sweep_run("lambda", {"searcher": "grid"})
    search = tracker.trial_run(
        sweep,
        "t1",
        phase="search",
        parameters={"update": {"lambda": math.inf, "level": "mixed"}, "seed": 1},
        tags={"update.lambda": "inf"},
    )
    retrain = tracker.trial_run(
        sweep, "t2", phase="retrain", parameters={"retrain": {"epochs": 5}}, parent=search
    )
    return sweep, search, retrain


def test_the_runs_are_a_tree(store: str, tracker: MlflowTracker) -> None:
    from mlflow import MlflowClient

    sweep, search, retrain = open_sweep(tracker)
    client = MlflowClient(store)
    tags = {run: client.get_run(run).data.tags for run in (sweep, search, retrain)}
    assert "mlflow.parentRunId" not in tags[sweep]
    assert tags[search]["mlflow.parentRunId"] == sweep
    assert tags[retrain]["mlflow.parentRunId"] == search
    assert [tags[run]["tune_nas.phase"] for run in tags] == ["sweep", "search", "retrain"]
    assert {tags[run]["tune_nas.sweep"] for run in tags} == {"lambda"}
    assert tags[search]["update.lambda"] == "inf"


def test_runs_of_an_earlier_version_are_found_read_and_continued(store: str) -> None:
    from mlflow import MlflowClient

    runs, client = open_sweep(MlflowTracker(store)), MlflowClient(store)
    for run in runs:  # earlier versions called the phase a stage
        phase = client.get_run(run).data.tags["tune_nas.phase"]
        client.delete_tag(run, "tune_nas.phase")
        client.set_tag(run, "tune_nas.stage", phase)
    known = {run.run_id: run.phase for run in RunReader(store).list_runs()}
    assert [known[run] for run in runs] == ["sweep", "search", "retrain"]

    assert open_sweep(MlflowTracker(store)) == runs
    tags = [client.get_run(run).data.tags for run in runs]
    assert [own["tune_nas.phase"] for own in tags] == ["sweep", "search", "retrain"]


def test_a_resumed_sweep_doubles_nothing_and_reopens_what_goes_on(store: str) -> None:
    first = MlflowTracker(store)
    runs = open_sweep(first)
    for step in (1, 2, 3):
        assert first.log_epoch(runs[1], step, {"valid_accuracy": 10.0 * step})
    first.finish(runs[1], "FAILED", error="ValueError: broken", reason="broken")
    first.finish(runs[0], "KILLED")

    second = MlflowTracker(store)
    assert open_sweep(second) == runs
    assert rows(store, "SELECT count(*) FROM runs") == [(3,)]
    found = RunReader(store).find_trial(runs[0], "t1")
    assert found is not None
    assert (found.state, found.status) == ("RUNNING", "running")
    assert not {"error", "reason"} & set(found.tags)
    # The epochs since the last checkpoint are logged once more.
    assert [second.log_epoch(runs[1], step, {"valid_accuracy": 99.0}) for step in (2, 3)] == [
        False,
        False,
    ]
    assert second.log_epoch(runs[1], 4, {"valid_accuracy": 40.0})
    for run in runs:
        second.finish(run)
    query = "SELECT step, value FROM metrics WHERE key = 'valid_accuracy' ORDER BY step"
    assert rows(store, query) == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0)]
    assert rows(store, "SELECT DISTINCT status FROM runs") == [("FINISHED",)]


def test_sweeps_of_one_name_are_told_apart_by_identity(tracker: MlflowTracker) -> None:
    mine = tracker.sweep_run("lambda", {}, identity="mine")
    yours = tracker.sweep_run("lambda", {}, identity="yours")
    assert mine != yours
    assert tracker.sweep_run("lambda", {}, identity="mine") == mine
    in_mine = tracker.trial_run(mine, "t1", phase="search", parameters={})
    assert tracker.trial_run(yours, "t1", phase="search", parameters={}) != in_mine


def test_a_name_with_quotes_is_found_again(tracker: MlflowTracker) -> None:
    run = tracker.sweep_run("it's λ", {})
    assert tracker.sweep_run("it's λ", {}) == run


def test_parameters_are_kept_as_text_and_as_they_were(
    store: str, tracker: MlflowTracker, reader: RunReader
) -> None:
    settings = {
        "name": "a: b",
        "update": {"lambda": math.inf, "order": 2, "momentum": True, "prime": None},
        "betas": (0.5, 0.999),
    }
    sweep = tracker.sweep_run("s", {})
    run = tracker.trial_run(sweep, "t", phase="search", parameters=settings)
    kept = dict(rows(store, f"SELECT key, value FROM params WHERE run_uuid = '{run}'"))
    assert kept == {
        "name": "a: b",
        "update.lambda": "inf",
        "update.order": "2",
        "update.momentum": "true",
        "update.prime": "null",
        "betas": "[0.5, 0.999]",
    }
    again = yaml.safe_load(reader.read_artifact(run, "parameters.yaml"))
    assert again == {**settings, "betas": [0.5, 0.999]}


def test_more_parameters_than_one_call_takes(store: str, tracker: MlflowTracker) -> None:
    tracker.sweep_run("s", {f"key{i}": i for i in range(250)})
    assert rows(store, "SELECT count(*) FROM params") == [(250,)]


def test_parameters_that_a_kill_cut_off_are_completed(store: str, tracker: MlflowTracker) -> None:
    sweep = tracker.sweep_run("s", {"a": 1, "b": 2})
    connection = sqlite3.connect(store.removeprefix("sqlite:///"))
    connection.execute("DELETE FROM params WHERE key = 'b'")
    connection.commit()
    connection.close()
    MlflowTracker(store).sweep_run("s", {"a": 1, "b": 2})
    query = f"SELECT key, value FROM params WHERE run_uuid = '{sweep}' ORDER BY key"
    assert rows(store, query) == [("a", "1"), ("b", "2")]


def test_metrics_that_are_not_finite_are_kept(store: str, tracker: MlflowTracker) -> None:
    run = tracker.sweep_run("s", {})
    tracker.log_epoch(run, 1, {"train_loss": math.nan})
    assert rows(store, "SELECT is_nan FROM metrics WHERE key = 'train_loss'") == [(1,)]


def test_the_genotype_is_tag_artifact_and_drawing(
    tracker: MlflowTracker, reader: RunReader, darts_v2: str
) -> None:
    run = tracker.sweep_run("s", {})
    genotype = Genotype.parse(darts_v2)
    tracker.log_genotype(run, genotype, load_space("darts"))
    found = reader.find_run(run)
    assert found.tags["genotype"] == str(genotype)
    text = reader.read_artifact(run, "genotype.yaml").decode()
    assert Genotype.from_yaml(text) == genotype
    assert b"<svg" in reader.read_artifact(run, "cells.svg")


def test_how_a_run_ended_is_in_words(tracker: MlflowTracker, reader: RunReader) -> None:
    sweep = tracker.sweep_run("s", {})
    ends = {
        "a": ("FINISHED", {}, "finished"),
        "b": (
            "FINISHED",
            {"outcome": "stopped early", "reason": "stopped by ASHA"},
            "stopped early",
        ),
        "c": ("FAILED", {"error": "ValueError: no"}, "failed"),
        "d": ("KILLED", {}, "interrupted"),
    }
    for trial, (state, more, _) in ends.items():
        run = tracker.trial_run(sweep, trial, phase="search", parameters={})
        tracker.finish(run, state, **more)
    found = {run.trial_id: run for run in reader.trials(sweep)}
    for trial, (state, _, status) in ends.items():
        assert (found[trial].state, found[trial].status) == (state, status)
    assert found["b"].tags["reason"] == "stopped by ASHA"
    assert found["c"].tags["error"] == "ValueError: no"
    with pytest.raises(ValueError, match="status is 'DONE', but must be one of FINISHED"):
        tracker.finish(sweep, "DONE")


def test_runs_are_found_by_id_trial_and_name(tracker: MlflowTracker, reader: RunReader) -> None:
    sweep, search, retrain = open_sweep(tracker)
    assert reader.find_run(search).run_id == search
    assert reader.find_run("t2").run_id == retrain
    assert reader.find_run("lambda").run_id == sweep
    assert reader.find_run("search t1").parameters["update.lambda"] == "inf"
    named = tracker.trial_run(sweep, "t3", phase="repeat", parameters={}, name="λ=1 s0 repeat")
    assert reader.find_run("λ=1 s0 repeat").run_id == named
    assert reader.find_run("repeat λ=1 seed=0").run_id == named  # its name in earlier versions
    with pytest.raises(StorageError, match="no run with id or name 'nothing'"):
        reader.find_run("nothing")
    other = tracker.sweep_run("lambda", {}, identity="other")
    with pytest.raises(StorageError, match=f"2 runs are called 'lambda'.*{other}"):
        reader.find_run("lambda")
    assert {run.run_id for run in reader.list_runs()} == {sweep, search, retrain, named, other}


def test_an_absent_artifact_is_one_line(tracker: MlflowTracker, reader: RunReader) -> None:
    run = tracker.sweep_run("s", {})
    with pytest.raises(StorageError, match=r"has no artifact 'genotype.yaml'"):
        reader.read_artifact(run, "genotype.yaml")


def test_the_alpha_history_is_an_artifact_with_a_plot(
    tmp_path: Path, tracker: MlflowTracker, reader: RunReader
) -> None:
    path = tmp_path / "history.csv"
    path.write_text(
        "epoch,cell,source,target,operation,alpha,weight\n"
        "1,normal,0,1,skip_connect,0.0,0.5\n1,normal,0,1,none,0.0,0.5\n"
    )
    run = tracker.sweep_run("s", {})
    tracker.log_alphas(run, path)
    assert reader.read_artifact(run, "alphas.csv") == path.read_bytes()
    assert reader.read_artifact(run, "alphas.png").startswith(b"\x89PNG")


def test_nested_settings_become_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}
    assert [as_text(value) for value in (None, True, 0.1, "0.10", [1, None])] == [
        "null",
        "true",
        "0.1",
        "0.10",
        "[1, null]",
    ]


def test_a_path_among_the_settings_is_a_legal_name(
    tracker: MlflowTracker, reader: RunReader
) -> None:
    run = tracker.sweep_run("s", {"set_in": {"in (2)/a+b~.yaml": {"seed": 1}, "/r//x.yaml": {}}})
    (found,) = reader.list_runs()
    assert found.run_id == run
    assert found.parameters == {"set_in.in _2_/a_b_.yaml.seed": "1"}
