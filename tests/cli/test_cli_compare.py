"""`tune-nas compare`: several stored runs in one report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

BEFORE = Path(__file__).parents[1] / "sweep" / "before"


@pytest.fixture
def runs(command_line) -> Path:
    """Two copies of a run with a finished search, the second one of another number of images."""
    folder = command_line.folder / "runs"
    for name in ("before", "after"):
        shutil.copytree(BEFORE, folder / name)
        rewrite(folder / name / "sweep.yaml", lambda text, own=name: renamed(text, own))
    for record in (folder / "after" / "search" / "records").iterdir():
        rewrite(record, changed)
    return folder


def renamed(text: str, name: str) -> str:
    return re.sub(r"^name: .*$", f"name: {name}", text, flags=re.MULTILINE)


def changed(text: str) -> str:
    return re.sub(r'"train_images": \d+', '"train_images": 77', text)


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text("utf-8")), "utf-8")


def test_rows_of_both_with_the_name_of_their_run(command_line, runs: Path) -> None:
    document = json.loads(command_line.ok("compare", "before", "after", "--format", "json"))
    assert document["axes"][-1] == "sweep"
    assert [row["values"]["sweep"] for row in document["rows"]] == ["after", "before"]
    assert {trial for row in document["rows"] for trial in row["trials"]} == {
        "before/search-00000",
        "after/search-00000",
    }
    table = command_line.ok("compare", "before", "after")
    assert "Sweep before and after" in table
    assert "sweep = " in document["sentence"] and document["sentence"] in table


def test_settings_that_differ_are_told(command_line, runs: Path) -> None:
    out = command_line.ok("compare", "before", "after")
    line = next(line for line in out.splitlines() if line.startswith("The runs also differ in"))
    assert "data.train_images (before: " in line and "after: 77)" in line
    command_line.ok("compare", "before", "after", "--output", "both.html")
    page = (command_line.folder / "both.html").read_text("utf-8")
    assert re.search(r"<td>data\.train_images</td>.*<td class=\"words\">77</td>", page)
    assert "Comparison of sweeps" in page and 'id="by-value"' in page
    assert ">before/search-00000</td>" in page and ">after/search-00000</td>" in page


def test_equal_runs_differ_in_nothing(command_line, runs: Path) -> None:
    shutil.copytree(runs / "before", runs / "copy")
    rewrite(runs / "copy" / "sweep.yaml", lambda text: renamed(text, "copy"))
    out = command_line.ok("compare", "before", "copy")
    assert "differ" not in out
    assert "tied with" in out
    command_line.ok("compare", "before", "copy", "--output", "both.html")
    page = (command_line.folder / "both.html").read_text("utf-8")
    assert "The trials of these sweeps differ in the swept keys alone." in page


def test_constraints_that_differ_do_not_apply_which_is_said(command_line, runs: Path) -> None:
    """The search of one run violates its own constraint; with it in both, neither is ranked."""
    bound = "constraints: ['valid_accuracy >= 101']\n"
    rewrite(runs / "after" / "sweep.yaml", lambda text: f"{text.rstrip()}\n{bound}")
    said = "different constraints (before: none; after: valid_accuracy >= 101), so none applies"
    assert said in command_line.ok("compare", "before", "after")
    rewrite(runs / "before" / "sweep.yaml", lambda text: f"{text.rstrip()}\n{bound}")
    out = command_line.ok("compare", "before", "after")
    assert "different constraints" not in out and "Nothing can be ranked" in out


def test_a_key_that_a_run_does_not_sweep_has_its_fixed_value(command_line, runs: Path) -> None:
    """One run sweeps λ, the other one momentum: each has the other's key in its trials."""
    momentum = "optimizer.weights.momentum"
    rewrite(runs / "after" / "sweep.yaml", lambda text: text.replace("update.lambda", momentum))
    for path in (runs / "after" / "search" / "records").iterdir():
        record = json.loads(path.read_text("utf-8"))
        record["job"]["parameters"] = {momentum: 0.5}
        path.write_text(json.dumps(record), "utf-8")
    document = json.loads(command_line.ok("compare", "before", "after", "--format", "json"))
    assert document["axes"] == ["sweep", "update.lambda", momentum]
    assert [row["values"] for row in document["rows"]] == [
        {"sweep": "after", "update.lambda": 0.5, momentum: 0.5},
        {"sweep": "before", "update.lambda": 0.5, momentum: 0.9},
    ]
    assert "momentum" not in " ".join(document["remarks"])
    page = command_line.ok("compare", "before", "after", "--format", "html")
    assert 'id="plots"' not in page and ">sweep</th>" in page


def test_a_name_like_a_number_stays_a_name(command_line, runs: Path) -> None:
    for name in ("1", "1.0"):
        shutil.copytree(runs / "before", runs / name)
        rewrite(runs / name / "sweep.yaml", lambda text, own=name: renamed(text, repr(own)))
    document = json.loads(command_line.ok("compare", "1", "1.0", "--format", "json"))
    names = [row["values"]["sweep"] for row in document["rows"]]
    assert sorted(names) == ["sweep 1", "sweep 1.0"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("before",), "compare needs at least two runs, but 'before' is the only one"),
        (("before", "after", "before"), "'before' is named twice; name each run once"),
        (("before", "nope"), "'nope' is not a run in {runs}; see `tune-nas runs`"),
    ],
)
def test_bad_input_is_one_line(command_line, runs: Path, arguments, line: str) -> None:
    assert command_line.refused("compare", *arguments) == line.format(runs=runs)


def test_an_analysis_is_refused(command_line, runs: Path) -> None:
    rewrite(
        runs / "after" / "state.json",
        lambda text: json.dumps({**json.loads(text), "kind": "analysis"}),
    )
    message = command_line.refused("compare", "before", "after")
    assert message.startswith("'after' is the analysis of a search, which compares no trials")


def test_different_metrics_need_one(command_line, runs: Path) -> None:
    rewrite(runs / "after" / "sweep.yaml", lambda text: text.replace("valid_accuracy", "gap"))
    assert command_line.refused("compare", "before", "after") == (
        "the runs are ranked by different metrics ('before' by valid_accuracy and 'after' by gap); "
        "give --metric"
    )
    out = command_line.ok("compare", "before", "after", "--metric", "gap", "--format", "json")
    assert json.loads(out)["rank_by"] == "gap"
