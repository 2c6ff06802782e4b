"""`tune-nas report`: the report of a stored run, whose second search was cut off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

BEFORE = Path(__file__).parents[1] / "sweep" / "before"


@pytest.fixture
def stored(command_line) -> Path:
    """The folder of a sweep named "before": a finished search, and one that is running."""
    folder = command_line.folder / "runs" / "before"
    shutil.copytree(BEFORE, folder)
    return folder


def test_the_formats_agree(command_line, stored: Path) -> None:
    document = json.loads(command_line.ok("report", "before", "--format", "json"))
    (record,) = [r for r in Records(Storage(str(stored)), "search") if r.ended]
    accuracy = record.history[-1]["valid_accuracy"]
    (row,) = document["rows"]
    assert (row["n"], row["failed"]) == (1, 0)  # the running one has not failed
    assert row["statistics"]["valid_accuracy"]["mean"] == accuracy
    assert document["best"] == record.job.id

    table = command_line.ok("report", "before")
    page = command_line.ok("report", "before", "--format", "markdown")
    for text in (table, page):
        assert f"{accuracy:.2f} ± –" in text
        assert document["sentence"] in text
    assert page.startswith("# Sweep ")
    assert page.endswith("\n") and not page.endswith("\n\n")


def test_a_baseline(command_line, stored: Path) -> None:
    out = command_line.ok("report", "before", "--baseline", "update.lambda=0.5")
    assert "nothing can be compared with the baseline, λ = 0.5" in out
    other = command_line.ok("report", "before", "--baseline", "update.lambda=2")  # is running
    assert "the baseline, λ = 2, has no trial that has ended" in other


def test_nothing_is_written(command_line, stored: Path) -> None:
    before = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}
    command_line.ok("report", "before")
    after = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}
    assert after == before
    assert [path.name for path in (command_line.folder / "runs").iterdir()] == ["before"]


def test_a_format_of_the_user(command_line, stored: Path) -> None:
    code = (
        "from tune_nas.report import ReportFormat\n"
        "class Names(ReportFormat):\n"
        "    def render(self, comparison):\n"
        "        return ' '.join(result.trial_id for result in comparison.results)\n"
    )
    (command_line.folder / "my_formats.py").write_text(code)
    out = command_line.ok("report", "before", "--format", "my_formats:Names")
    assert out == "search-00000\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("before", "--format", "table"),
            "--format is 'table', but must be one of terminal, markdown, json, html, or "
            "module:Class",
        ),
        (
            ("before", "--format", "nowhere:Csv"),
            "--format is 'nowhere:Csv', but importing it fails: No module named 'nowhere'",
        ),
        (
            ("before", "--format", "json:JSONDecoder"),
            "--format is 'json:JSONDecoder', but must be a class derived from ReportFormat",
        ),
        (
            ("before", "--output", "r.pdf"),
            "--output is 'r.pdf', but must end in .html, .md, .json; for another file, give "
            "--format",
        ),
        (
            ("before", "--output", "nowhere/r.html"),
            "--output is 'nowhere/r.html', but the folder 'nowhere' does not exist",
        ),
        (
            ("before", "--output", "runs", "--format", "html"),
            "--output is 'runs', which is a folder; name a file in it",
        ),
        (
            ("before", "--baseline", "update.order=1"),
            "--baseline of 'before' has 'update.order', but the sweep varies update.lambda",
        ),
        (
            ("before", "--baseline", "update.lambda"),
            "'update.lambda' is not an assignment; write KEY=VALUE, e.g. update.lambda=0.3",
        ),
        (("other",), "'other' is not a run in {runs}; see `tune-nas runs`"),
        (
            ("before/search-00000",),
            "'before/search-00000' is not a run in {runs}; see `tune-nas runs`",
        ),
    ],
)
def test_bad_input_is_one_line(
    command_line, stored: Path, arguments: tuple[str, ...], line: str
) -> None:
    runs = command_line.folder / "runs"
    assert command_line.refused("report", *arguments) == line.format(runs=runs)


def test_a_damaged_run_is_one_line(command_line, stored: Path) -> None:
    (stored / "sweep.yaml").write_text("a: [")
    assert "sweep.yaml is damaged: not valid YAML" in command_line.refused("report", "before")


def test_a_file_is_written_in_the_format_of_its_name(command_line, stored: Path) -> None:
    for name, start in (("r.html", "<!DOCTYPE html>"), ("r.md", "# Sweep "), ("r.json", "{")):
        assert command_line.ok("report", "before", "--output", name) == f"report: {name}\n"
        assert (command_line.folder / name).read_text("utf-8").startswith(start)
    table = command_line.ok("report", "before")
    command_line.ok("report", "before", "--output", "r.txt", "--format", "terminal")
    assert (command_line.folder / "r.txt").read_text("utf-8") == table


def test_an_earlier_page_is_replaced_and_no_other_file(command_line, stored: Path) -> None:
    page = command_line.folder / "r.html"
    command_line.ok("report", "before", "--output", str(page))
    first = page.read_bytes()
    page.write_bytes(first + b"<!-- old -->")
    command_line.ok("report", "before", "--output", str(page))
    assert page.read_bytes() == first
    page.write_text("<html>my own page</html>")
    assert command_line.refused("report", "before", "--output", str(page)) == (
        f"--output: '{page}' exists and is not a report page of tune-nas; name another file"
    )
    assert page.read_text() == "<html>my own page</html>"


def test_the_page_of_a_run_that_is_running(command_line, stored: Path) -> None:
    """It has the trial in progress, its cells and its α, which the comparison alone lacks."""
    page = command_line.ok("report", "before", "--format", "html")
    assert ">search-00001</td>" in page and ">running</td>" in page
    assert 'id="alphas"' in page and "Cells of" in page
    assert "sweep.yaml" in page
