"""Names and values that MLflow rejects: tested with MLflow itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_nas.tracking import Experiment, MlflowTracker, RunReader
from tune_nas.tracking.names import (
    entity_names,
    parameter_value,
    present_name,
    run_name,
    tag_value,
)

ODD = ["", ".", "..", "/", "../a", "a/../b", "a//b", "a/", "/a", "a?b", "a*b", "λ", "a\nb"]
LONG = f"set_in./{'folder/' * 50}mine.yaml.update.lambda"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return Experiment(f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}")


@pytest.fixture
def tracker(experiment: Experiment) -> MlflowTracker:
    return MlflowTracker(experiment)


@pytest.fixture
def reader(experiment: Experiment) -> RunReader:
    return RunReader(experiment)


def parameters(reader: RunReader, run_id: str) -> dict[str, str]:
    return next(run.parameters for run in reader.list_runs() if run.run_id == run_id)


def test_names_that_are_legal_stay() -> None:
    keys = ["update.lambda", "set_in.a/b.yaml.update.lambda", "a: b-c_d", "k" * 250]
    assert entity_names(keys) == {key: key for key in keys}


def test_long_and_equal_names_are_told_apart() -> None:
    names = entity_names([f"{LONG}{n}" for n in range(3)] + ["a?b", "a*b", "a_b"])
    assert len(set(names.values())) == 6
    assert all(len(name) <= 250 for name in names.values())
    assert names["a?b"] == "a_b"
    assert names[f"{LONG}1"].startswith("set_in./folder/folder/")
    assert names[f"{LONG}1"] == entity_names([f"{LONG}1"])[f"{LONG}1"]


def test_every_name_and_value_reaches_mlflow(tracker: MlflowTracker, reader: RunReader) -> None:
    settings = {key: number for number, key in enumerate([*ODD, LONG, "k" * 251])}
    values = {"long": "v" * 7000, "zero": "a\0b", "half": "\udcff", "lines": "a\nb", "empty": ""}
    run = tracker.sweep_run("odd", {**settings, **values}, {"long": "t" * 9000, "half": "\udcff"})
    found = parameters(reader, run)
    assert len(found) == len(settings) + len(values)
    assert sorted(v for v in found.values() if v.isdecimal()) == sorted(map(str, settings.values()))
    assert found["long"] == "v" * 5999 + "…"
    assert (found["zero"], found["half"], found["lines"]) == ("a\\0b", "\\udcff", "a\nb")
    # a resume finds them all, and logs none again
    assert tracker.sweep_run("odd", {**settings, **values}) == run
    assert parameters(reader, run) == found


def test_a_run_with_a_long_name_and_tags(tracker: MlflowTracker, reader: RunReader) -> None:
    sweep = tracker.sweep_run("long", {})
    run = tracker.trial_run(
        sweep, "a", phase="search", parameters={}, tags={"x": "t" * 9000}, name="n" * 300
    )
    tracker.finish(run, "FAILED", error="e" * 9000)
    found = reader.find_trial(sweep, "a")
    assert found is not None
    assert found.name == "n" * 249 + "…"
    assert found.tags["x"] == "t" * 7999 + "…"
    assert found.tags["error"] == "e" * 7999 + "…"


@given(st.lists(st.text(max_size=300), unique=True, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_keys_get_legal_names(keys: list[str]) -> None:
    from mlflow.utils.validation import _validate_param, bad_path_message, path_not_unique

    names = entity_names(keys)
    assert len(set(names.values())) == len(keys)
    for name in names.values():
        _validate_param(name, "1")
        assert not path_not_unique(name), bad_path_message(name)


def test_values_are_cut_to_what_mlflow_takes() -> None:
    assert parameter_value("v" * 6000) == "v" * 6000
    assert [len(cut("v" * 10**5)) for cut in (run_name, parameter_value, tag_value)] == [
        250,
        6000,
        8000,
    ]


def test_names_of_earlier_versions() -> None:
    assert present_name("search λ=1 seed=0") == "λ=1 s0"
    assert present_name("search λ=inf level=mixed seed=12") == "λ=inf level=mixed s12"
    assert present_name("search seed=3") == "s3 search"
    assert present_name("retrain λ=1 seed=0") == "λ=1 s0 retrain"
    assert present_name("λ=1 s0") is None
    assert present_name("search-00001") is None
