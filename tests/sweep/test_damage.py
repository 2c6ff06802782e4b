"""Changed records and states are reported as damaged, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.reports_file import REPORTS, read_reports
from tune_nas.sweep.runner import resume_sweep
from tune_nas.sweep.runs.plan import STATE, State, read_state
from tune_nas.sweep.runs.record_files import FOLDER
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

NAME = f"search/{FOLDER}/search-00000.json"
ABSENT = "absent"
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def written(root: Path) -> dict[str, Any]:
    """Write a record of two epochs, and return its content."""
    records = Records(Storage(root), "search")
    trial = TrialConfig(seed=1, schedule={"epochs": 3})  # type: ignore[arg-type]
    records.start(Job("search-00000", "search", "search", trial, {"update.lambda": 0.1}))
    for epoch in (1, 2):
        records.add("search-00000", {"epoch": epoch, "valid_accuracy": 1.5, "loss": float("nan")})
    return json.loads((root / NAME).read_text())  # type: ignore[no-any-return]


def changed(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a content with one dotted key set or removed."""
    head, _, rest = key.partition(".")
    if rest:
        return {**content, head: changed(content[head], rest, value)}
    return {k: v for k, v in {**content, head: value}.items() if k != head or value is not ABSENT}


def test_a_whole_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = written(tmp_path)
    record = Records(Storage(tmp_path), "search")["search-00000"]
    assert (record.epoch, record.orders, record.job.epochs) == (2, [1, 2], 3)
    assert json.dumps(content) == (tmp_path / NAME).read_text().replace("\n", "")
    assert type(record.history[0]["epoch"]) is int


def test_a_record_without_the_keys_that_came_later_is_read(tmp_path: Path) -> None:
    content = written(tmp_path)
    for key in ("tracked", "folders", "error"):
        content = changed(content, key, ABSENT)
    (tmp_path / NAME).write_text(json.dumps(content))
    assert not Records(Storage(tmp_path), "search")["search-00000"].tracked


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("job", ABSENT, "Field required"),
        ("job", [], "job is []: Input should be an object"),
        ("job.id", 5, "job.id is 5: Input should be a valid string"),
        ("job.id", "../../other", "it is that of '../../other' in phase 'search'"),
        ("job.phase", "repeat", "it is that of 'search-00000' in phase 'repeat'"),
        ("job.task", 1, "job.task is 1: Input should be a valid string"),
        ("job.task", "dance", "task is 'dance', but must be one of search, candidates"),
        ("job.parameters", 1, "job.parameters is 1: Input should be an object"),
        ("job.trial", None, "job.trial is None: Input should be an object"),
        ("job.trial", {}, "job.trial lacks a section"),
        ("job.trial.schedule", 5, "job.trial: schedule is 5, but must be a mapping of keys"),
        ("job.trial.schedule.epochs", "x", "job.trial: schedule.epochs is 'x', but must be an"),
        ("status", None, "status is None: Input should be a valid string"),
        ("status", "sleeping", "status is 'sleeping'"),
        ("history", {}, "history is {}: Input should be a valid array"),
        ("history", [{"epoch": "2"}, {"epoch": 3}], "history.0.epoch is '2'"),
        ("history", [{"loss": 2}, {"epoch": 3}], "a result has no epoch"),
        ("history", [], "0 epochs have 2 orders"),
        ("orders", [1, None], "orders.1 is None: Input should be a valid integer"),
        ("folders", "abc", "folders is 'abc': Input should be a valid array"),
        ("tracked", "yes", "tracked is 'yes': Input should be a valid boolean"),
        ("genotype", 5, "genotype is 5: Input should be a valid string"),
        ("more", 5, "unexpected keyword argument 'more'"),
    ],
)
def test_a_record_with_a_wrong_value(tmp_path: Path, key: str, value: Any, message: str) -> None:
    (tmp_path / NAME).write_text(json.dumps(changed(written(tmp_path), key, value)))
    with pytest.raises(StorageError) as error:
        Records(Storage(tmp_path), "search")
    assert f"{NAME} is damaged: not the record of a trial (" in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "null", "5", "[]", "{", "[" * 100_000, '{"a": 1e999'])
def test_a_record_or_state_that_is_none(tmp_path: Path, text: str) -> None:
    written(tmp_path)
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StorageError, match="is damaged: not the record of a trial"):
        Records(Storage(tmp_path), "search")
    (tmp_path / STATE).write_text(text)
    assert read_state(Storage(tmp_path)) is None


def test_a_whole_state_is_read(tmp_path: Path) -> None:
    options = RunOptions(concurrency=2, cpus_per_trial=0.5).for_resume()
    state = State(kind="search", mlflow="sqlite:///x", options=options)
    (tmp_path / STATE).write_text(json.dumps(vars(state)))
    assert read_state(Storage(tmp_path)) == state
    (tmp_path / STATE).write_text("{}")
    assert read_state(Storage(tmp_path)) is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "other"),
        ("status", 5),
        ("status", "lost"),
        ("started", "yesterday"),
        ("mlflow", None),
        ("options", []),
        ("options", {"concurrency": "two"}),
        ("options", {"concurrency": 0}),
        ("options", {"unknown": 1}),
        ("options", {"cpus_per_trial": [1]}),
        ("folder", {}),
        ("more", 1),
    ],
)
def test_a_state_with_a_wrong_value_is_damaged(tmp_path: Path, key: str, value: Any) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "sweep.yaml").write_text("trial: milenas\nparameters: {update.lambda: {grid: [1]}}")
    (folder / "trials.yaml").write_text("milenas: {}")
    (folder / STATE).write_text(json.dumps({**vars(State()), key: value}))
    assert read_state(Storage(folder)) is None
    with pytest.raises(StorageError, match=r"state\.json is missing or damaged"):
        resume_sweep("mine", RunOptions(storage=str(tmp_path)))
    with pytest.raises(StorageError, match=r"state\.json is missing or damaged"):
        resume_sweep(None, RunOptions(storage=str(tmp_path)))


KEYS = ("job", "job.id", "job.trial", "job.trial.space", "job.task", "history", "orders", "status")


@given(st.sampled_from([*KEYS, "reason", "error", "genotype", "folders", "tracked"]), ANYTHING)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_record_is_read_or_damaged(tmp_path: Path, key: str, value: Any) -> None:
    for stale in tmp_path.rglob("*.json"):
        stale.unlink()
    (tmp_path / NAME).write_text(json.dumps(changed(written(tmp_path), key, value)))
    try:
        (record,) = Records(Storage(tmp_path), "search")
    except StorageError as error:
        assert "is damaged" in str(error)
    else:
        assert record.epoch >= 0
        assert record.job.epochs >= 1
        assert record.result().trial_id == "search-00000"


@pytest.mark.parametrize(
    "text", ["{}", "[5]", "[[]]", '[{"epoch": "1"}]', "[{}]", "[]", "[" * 10**5]
)
def test_results_of_a_checkpoint_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / REPORTS).write_text(text)
    with pytest.raises(CheckpointError):
        read_reports(tmp_path)
