"""The trials of a sweep as a pandas DataFrame, and the file from which they are read."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_nas.errors import StorageError
from tune_nas.report import Report, TrialResult, read_results, to_dataframe

Make = Callable[..., TrialResult]


def trials(make: Make) -> list[TrialResult]:
    return [
        make(0, 81.0, history=[{"valid_accuracy": 50.0}, {"valid_accuracy": 81.0}]),
        make("inf", 82.5, seed=1, metrics={"gap": 2.0}, history=[{"valid_accuracy": 82.5}]),
        make(0, seed=1, status="failed", error="ValueError: no"),
        make(
            0, phase="retrain", trial_id="r0", parent="0-0", metrics={"test_accuracy": float("nan")}
        ),
    ]


def test_a_row_for_each_trial_has_its_values_and_its_last_metrics(make_result: Make) -> None:
    frame = to_dataframe(trials(make_result))
    assert list(frame.columns) == [
        *("trial_id", "phase", "seed", "status", "reason", "parent"),
        *("update.lambda", "valid_accuracy", "gap", "test_accuracy"),
    ]
    assert list(frame["trial_id"]) == ["0-0", "inf-1", "0-1", "r0"]
    assert list(frame["update.lambda"]) == [0, math.inf, 0, 0]  # YAML's text is a number
    assert frame["update.lambda"].dtype == float
    assert list(frame["valid_accuracy"][:2]) == [81.0, 82.5]
    assert frame["valid_accuracy"][2:].isna().all() and frame["test_accuracy"].isna().all()
    assert frame["reason"][2] == "ValueError: no" and frame["parent"][3] == "0-0"
    means = frame.groupby("update.lambda")["valid_accuracy"].mean()
    assert means.to_dict() == {0.0: 81.0, math.inf: 82.5}


def test_a_row_for_each_epoch_counts_from_one(make_result: Make) -> None:
    report = Report("s", ["update.lambda"], trials(make_result), "valid_accuracy")
    frame = report.to_dataframe(epochs=True)
    rows = frame[["trial_id", "epoch", "valid_accuracy"]].to_numpy().tolist()
    assert rows == [["0-0", 1, 50.0], ["0-0", 2, 81.0], ["inf-1", 1, 82.5]]


def test_no_trials_are_an_empty_table() -> None:
    assert len(to_dataframe([])) == 0


def test_results_are_read_as_they_were_written(make_result: Make, tmp_path: Path) -> None:
    written = trials(make_result)[:3]
    content = [result.to_dict() for result in written]
    (tmp_path / "results.json").write_text(json.dumps(content), encoding="utf-8")
    assert [result.to_dict() for result in read_results(tmp_path)] == content
    assert read_results(str(tmp_path))[0] == written[0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read: No such file"),
        ("[", "not valid JSON"),
        ("{}", "must hold a list of trials"),
        ('[{"trial_id": "x"}]', "not the record of a trial"),
    ],
)
def test_a_folder_without_results_is_one_line(
    content: str | None, complaint: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(StorageError, match=complaint) as raised:
        read_results(tmp_path)
    assert "\n" not in str(raised.value)
