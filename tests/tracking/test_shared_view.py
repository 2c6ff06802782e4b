"""The prepared view of a sweep, as it is stored; tests/sweep/test_mlflow_ui.py opens one."""

import base64
import json
import zlib
from typing import Any

import pytest

from tune_nas.cli.ui_links import ui_links
from tune_nas.errors import StorageError
from tune_nas.tracking import Experiment, MlflowTracker, RunReader
from tune_nas.tracking.shared_view import prepare_view, view_link


def filled(uri: str, **sweep: object) -> str:
    """A sweep over λ and a key that no trial has, with a search and its retraining run."""
    tracker = MlflowTracker(uri)
    run = tracker.sweep_run("lambda", {"metric": "valid_accuracy", "mode": "max", **sweep})
    for seed, (trial, phase, metrics) in enumerate(
        (
            (
                "t1",
                "search",
                {"valid_accuracy": 50.0, "gap": 1.0, "genotype/skips": 2, "other": 3.0},
            ),
            ("t2", "retrain", {"test_accuracy": 60.0, "seconds": 1.0}),
        )
    ):
        own = tracker.trial_run(
            run,
            trial,
            phase=phase,
            parameters={
                "seed": seed,
                "update": {"lambda": 1.0, "order": 1},
                "data": {"name": "digits"},
            },
            tags={"update.lambda": "1.0", "retrain.setting": "a"},
        )
        tracker.log_epoch(own, 1, metrics)
        tracker.finish(own)
    return run


def stored(uri: str, key: str | None) -> dict[str, Any]:
    experiment = Experiment(uri)
    tags = experiment.client.get_experiment(experiment.experiment_id).tags
    view = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    kind, _, text = view["state"].partition(";")
    assert (kind, view["name"]) == ("deflate", "lambda")
    assert view["createdAt"] == view["updatedAt"] > 1.7e12
    return dict(json.loads(zlib.decompress(base64.b64decode(text))))


def prepared(uri: str, run: str) -> dict[str, Any]:
    return stored(uri, prepare_view(Experiment(uri), RunReader(uri).read_run(run)))


def test_the_view_has_what_was_swept_and_what_is_known(store: str) -> None:
    run = filled(store)
    state = prepared(store, run)
    assert state["selectedColumns"] == [
        "params.`update.lambda`",
        "tags.`retrain.setting`",
        "params.`seed`",
        "metrics.`valid_accuracy`",
        "metrics.`gap`",
        "metrics.`test_accuracy`",
        "metrics.`genotype/skips`",
        "tags.`status`",
        "tags.`genotype`",
    ]
    assert state["columnOrder"][1:-2] == state["selectedColumns"]
    assert state["searchFilter"] == f"tags.`tune_nas.sweep_run` = '{run}'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`valid_accuracy`", False)
    parallel, scatter, *lines = state["compareRunCharts"]
    assert parallel["selectedParams"] == ["update.lambda"]
    assert (scatter["xaxis"]["key"], scatter["yaxis"]["key"]) == ("update.lambda", "valid_accuracy")
    assert [chart["metricKey"] for chart in lines] == ["valid_accuracy", "gap"]


@pytest.mark.parametrize(
    ("metric", "mode", "key", "ascending"),
    [
        ("other", "min", "metrics.`other`", True),
        ("retrain/test_accuracy", "max", "metrics.`test_accuracy`", False),
    ],
)
def test_the_rows_are_in_the_order_of_the_sweep_s_metric(
    store: str, metric: str, mode: str, key: str, ascending: bool
) -> None:
    state = prepared(store, filled(store, metric=metric, mode=mode))
    assert (state["orderByKey"], state["orderByAsc"]) == (key, ascending)
    assert key in state["selectedColumns"]


def test_the_links_of_the_ui(store: str) -> None:
    run = filled(store)
    tracker = MlflowTracker(store)
    tracker.sweep_run("begun", {})  # the latest, which has no trials yet
    own = RunReader(store).read_run(run)
    base, experiment = "http://127.0.0.1:5000", Experiment(store).experiment_id
    for name in (None, "lambda"):
        links = ui_links(store, f"{base}/", name)
        assert links.runs == view_link(base, experiment)
        assert links.view == f"{links.runs}&viewStateShareKey={own.run_id}"
        assert links.lines() == f"runs: {links.runs}\nsweep 'lambda': {links.view}"
    assert stored(store, run)["selectedColumns"]
    assert ui_links(store, base, "begun").view == ""
    with pytest.raises(StorageError, match="no run 'lamda' in MLflow; did you mean 'lambda'\\?"):
        ui_links(store, base, "lamda")


def test_a_run_has_its_data_set_user_and_command(store: str) -> None:
    run = filled(store)
    (trial, _) = RunReader(store).trials(run)
    assert {"mlflow.user", "mlflow.source.name", "mlflow.source.type"} <= set(trial.tags)
    client = Experiment(store).client
    (known,) = client.get_run(trial.run_id).inputs.dataset_inputs
    assert known.dataset.name == "digits"
    assert json.loads(known.dataset.profile) == {"name": "digits"}
    filled(store)  # resumed: nothing twice
    assert len(client.get_run(trial.run_id).inputs.dataset_inputs) == 1
