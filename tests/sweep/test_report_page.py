"""The page at the end of a sweep: in its folder and in MLflow, and never in the way."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from tune_nas.errors import StorageError
from tune_nas.report.page.html_format import Html
from tune_nas.report.run_details import RunDetails
from tune_nas.sweep import outcome as outcomes
from tune_nas.sweep.outcome import conclude, tracking_actions
from tune_nas.sweep.phases import read_records
from tune_nas.sweep.runs.plan import Plan, read_plan
from tune_nas.sweep.runs.provenance import read_sessions, recorded_session
from tune_nas.sweep.runs.storage import Storage

BEFORE = Path(__file__).parent / "before"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A stored sweep with a finished search and one without an end."""
    shutil.copytree(BEFORE, tmp_path / "before")
    return read_plan(Storage(tmp_path / "before"))


def finish(plan: Plan) -> outcomes.SweepOutcome:
    return conclude(plan, list(read_records(plan).values()), "sqlite:///x.db")


class Recorder:
    """A tracker that keeps what is logged."""

    def __init__(self) -> None:
        self.logged: dict[str, bytes] = {}

    def log_artifact(self, run_id: str, content: bytes, name: str) -> None:
        self.logged[name] = content

    def set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        pass

    def log_epoch(self, run_id: str, step: int, metrics: dict[str, float], time_ms: int) -> None:
        pass

    def finish(self, run_id: str, state: str, error: str | None = None) -> None:
        pass


def test_it_is_in_the_folder_and_in_mlflow(plan: Plan) -> None:
    with recorded_session(plan.storage, resumed=True, address=None, data=["digits: 9 images"]):
        outcome = finish(plan)
    page = plan.storage.read_bytes("report.html")
    assert page is not None and page.startswith(b"<!DOCTYPE html>")
    assert outcome.page == f"{plan.storage.root}/report.html"
    assert b"digits: 9 images" in page
    assert b"still running" not in page  # the session is written before the page
    (session,) = read_sessions(plan.storage)
    assert session.ended is not None
    recorder = Recorder()
    for action in tracking_actions(plan, outcome):
        action(recorder, "run")  # type: ignore[arg-type]
    assert recorder.logged["report.html"] == page


def test_a_single_search_has_none(plan: Plan) -> None:
    plan.state.kind = "search"
    assert finish(plan).page is None
    assert plan.storage.read("report.html") is None


@pytest.mark.parametrize("error", [RuntimeError("no font"), ValueError("a <plot>"), KeyError(1)])
def test_a_library_that_cannot_draw_leaves_the_results(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fails(*arguments: object) -> str:
        raise error

    monkeypatch.setattr(Html, "render_run", fails)
    with caplog.at_level(logging.WARNING):
        outcome = finish(plan)
    assert outcome.report.sentence()
    assert plan.storage.read("results.json") and plan.storage.read("report.html") is None
    assert f"no report.html: {type(error).__name__}" in caplog.text


def test_a_storage_that_cannot_be_read_is_told(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> str:
        raise StorageError("gone")

    monkeypatch.setattr(Html, "render_run", fails)
    with pytest.raises(StorageError, match="gone"):
        finish(plan)


def test_the_page_reads_the_alphas_of_the_best_trials(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads those of the checkpoint by trial id; the one without a checkpoint has none."""
    seen: list[bytes | None] = []

    def drawing(comparison: object, details: RunDetails) -> list[object]:
        names = ["search-00000", "search-00001", "nothing"]
        seen.extend(details.read_alphas(name) for name in names)
        return []

    monkeypatch.setattr("tune_nas.report.page.page_content.alpha_drawings", drawing)
    finish(plan)
    first, second, missing = seen
    assert first is not None and first.startswith(b"epoch,cell")
    assert second is not None and second != first
    assert missing is None
