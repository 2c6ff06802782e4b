"""The analysis of edges as a run on Ray: tracked, killed, resumed and read again."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
from analyzed_search import TINY
from standin import crash_after

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, NameTakenError, StorageError
from tune_nas.library import with_overrides
from tune_nas.search.analysis import Analysis
from tune_nas.sweep import (
    RunOptions,
    SweepOutcome,
    read_analysis,
    resume_sweep,
    run_analysis,
    run_search,
)
from tune_nas.sweep.analysis_run import find_analysis, request_analysis
from tune_nas.sweep.resolve import load_sweep
from tune_nas.sweep.runs.lookup import find_run
from tune_nas.sweep.runs.origin import find_origin
from tune_nas.sweep.runs.plan import read_plan, read_state
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tracking import RunReader

pytestmark = pytest.mark.sweep
EDGES = ["normal:0->1", "normal:1->3"]
SHORT = {"analysis.epochs": 1}


def options(folder: Path, **more: Any) -> RunOptions:
    return RunOptions(storage=str(folder / "runs"), **{"quiet": True, **more})


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    """A folder with the run of a finished search; each test adds runs of its own."""
    folder = tmp_path_factory.mktemp("searched")
    run_search(with_overrides(TINY, {}), options(folder), "tiny")
    return folder


@pytest.fixture(scope="module")
def trial(searched: Path) -> TrialConfig:
    changes = {**SHORT, "analysis.edges": EDGES}
    return request_analysis("tiny", str(searched / "runs"), None, changes).trial


@pytest.fixture(scope="module")
def expected(trial: TrialConfig) -> Analysis:
    """The same analysis without Ray."""
    analysis = Analysis(trial)
    while not analysis.done:
        analysis.run_epoch()
    return analysis


@pytest.fixture(scope="module")
def progress() -> io.StringIO:
    """Where the progress of the uninterrupted analysis is printed."""
    return io.StringIO()


@pytest.fixture(scope="module")
def whole(searched: Path, progress: io.StringIO) -> SweepOutcome:
    """The uninterrupted analysis."""
    with redirect_stderr(progress):
        return run_analysis("tiny", EDGES, options(searched, quiet=False), "whole", overrides=SHORT)


def test_a_whole_analysis_is_tracked_under_its_search(
    searched: Path, whole: SweepOutcome, progress: io.StringIO, expected: Analysis
) -> None:
    outcome = whole
    assert (outcome.analysis, outcome.n_failed) == (expected.table(), 0)
    assert read_analysis(outcome.folder) == expected.table()
    lines = progress.getvalue().splitlines()
    first = expected.table().edges[0].operations[0]
    line = f"epoch 1/10: normal 0->1 {first.operation}: {first.converged:.2f} %"
    assert f"analysis seed=0: {line}" in lines
    for name, content in expected.artifacts().items():
        assert Path(outcome.folder, name).read_text() == content
    assert "## normal 0->1: supernet accuracy" in Path(outcome.folder, "report.md").read_text()

    reader = RunReader(outcome.mlflow_uri)
    runs = {(run.sweep, run.phase): run for run in reader.list_runs()}
    run = runs["whole", "analysis"]
    assert run.parent == runs["tiny", "search"].run_id
    assert (run.status, run.epoch) == ("finished", 10)
    last = expected.table().edges[-1].operations[-1]
    assert run.metrics["accuracy_at_convergence"] == last.converged
    assert run.parameters["analysis.epochs"] == "1"
    for name, content in expected.artifacts().items():
        assert reader.read_artifact(run.run_id, name).decode() == content
    report = reader.read_artifact(runs["whole", "sweep"].run_id, "report.md").decode()
    assert report == Path(outcome.folder, "report.md").read_text()

    (result,) = outcome.results
    assert (result.phase, result.status, len(result.history)) == ("analysis", "finished", 10)
    with pytest.raises(StorageError, match="has finished; there is nothing to resume"):
        resume_sweep("whole", options(searched))
    with pytest.raises(NameTakenError, match="'whole' exists in"):
        run_analysis("tiny", EDGES, options(searched), "whole", overrides=SHORT)


def test_interrupted_after_any_operation_it_ends_with_the_same_table(
    searched: Path, trial: TrialConfig, expected: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crash_after(monkeypatch, 6):
        run_analysis("tiny", EDGES, options(searched), "cut", overrides=SHORT)
    folder = searched / "runs" / "cut"
    (record,) = Records(Storage(folder), "analysis")
    assert record.epoch == 6
    known = find_analysis(trial, str(searched / "runs"), "cut")
    assert known is not None and not known.finished
    with pytest.raises(StorageError, match="has no finished analysis"):
        read_analysis(folder)
    resumed = resume_sweep("cut", options(searched))
    assert resumed.analysis == expected.table()
    assert (folder / "analysis.csv").read_text() == expected.artifacts()["analysis.csv"]
    (result,) = resumed.results
    assert [epoch["epoch"] for epoch in result.history] == list(range(1, 11))
    known = find_analysis(trial, str(searched / "runs"), "cut")
    assert known is not None and known.finished
    reader = RunReader(resumed.mlflow_uri)
    (run,) = (r for r in reader.list_runs() if (r.sweep, r.phase) == ("cut", "analysis"))
    assert run.status == "finished"
    assert (
        reader.read_artifact(run.run_id, "analysis.csv").decode()
        == (expected.artifacts()["analysis.csv"])
    )


def test_a_command_that_is_killed_is_resumed(searched: Path, expected: Analysis) -> None:
    """SIGKILL to the driver in the middle of the first edge; in processes of their own."""
    program = str(Path(sys.executable).with_name("tune-nas"))
    edges = [argument for edge in EDGES for argument in ("--edge", edge)]
    command = [program, "analyze", "tiny", *edges, "--epochs", "1", "--name", "killed", "--quiet"]
    process = subprocess.Popen(command, cwd=searched, stdout=subprocess.DEVNULL)
    storage = Storage(searched / "runs" / "killed")
    limit = time.monotonic() + 300

    def analyzed() -> int:
        if not storage.names("analysis/records"):
            return 0
        return sum(record.epoch for record in Records(storage, "analysis"))

    while analyzed() < 3:
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = read_state(storage)
    assert state is not None and (state.kind, state.status) == ("analysis", "running")
    resume = [program, "resume", "killed", "--quiet"]
    done = subprocess.run(resume, cwd=searched, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("normal 0->1: supernet accuracy")
    assert read_analysis(storage.root) == expected.table()


def test_an_analysis_is_not_a_search(searched: Path, whole: SweepOutcome) -> None:
    """No command that needs a search or a genotype takes it; a line says what to name."""
    uri = f"sqlite:///{searched}/runs/mlflow.db"
    text = "'whole' is the analysis of a search, not a search; name the search itself"
    for name in ("whole", "whole/analysis-00000"):
        for what in (find_origin, find_run):
            with pytest.raises(StorageError, match=text):
                what(name, str(searched / "runs"), uri)
    (run,) = (r for r in RunReader(uri).list_runs() if (r.sweep, r.phase) == ("whole", "analysis"))
    with pytest.raises(StorageError, match=text):
        find_run(run.run_id, str(searched / "runs"), uri, retraining=True)
    with pytest.raises(StorageError, match=text):
        run_analysis("whole", EDGES, options(searched))
    with pytest.raises(StorageError, match="has no finished analysis"):
        read_analysis(searched / "runs" / "tiny")


def test_what_cannot_be_analyzed_leaves_nothing(searched: Path) -> None:
    for edges, overrides, text in (
        (["normal:3->1"], {}, "the normal cell has no edge '3->1'"),
        ([], {}, "`analysis.edges` is empty"),
        (EDGES, {"update.lambda": 1}, "update.lambda is set, but has no effect on an analysis"),
    ):
        with pytest.raises(ConfigError, match=text):
            run_analysis("tiny", edges, options(searched), "bad", overrides=overrides)
    assert not (searched / "runs" / "bad").exists()
    with pytest.raises(StorageError, match=r"no run with id or name 'unknown'"):
        run_analysis("unknown", EDGES, options(searched), "bad")


def test_a_sweep_neither_varies_nor_runs_analyses(tmp_path: Path) -> None:
    swept = "trial: darts-1st\nparameters: {analysis.epochs: {grid: [1, 2]}}\n"
    (tmp_path / "swept.yaml").write_text(swept)
    with pytest.raises(
        ConfigError,
        match=r"analysis\.epochs is swept, but has no effect where task is 'search'; it needs the",
    ):
        load_sweep(tmp_path / "swept.yaml")
    (tmp_path / "task.yaml").write_text(
        "trial: darts-1st\ntask: analysis\nparameters: {update.order: {grid: [1, 2]}}\n"
    )
    with pytest.raises(ConfigError, match="must find what a retraining run trains"):
        load_sweep(tmp_path / "task.yaml")


def test_the_plan_of_an_analysis(whole: SweepOutcome) -> None:
    plan = read_plan(Storage(whole.folder))
    assert (plan.state.kind, plan.sweep.metric) == ("analysis", "accuracy_at_convergence")
    assert plan.bases.first.analysis.edges == EDGES
