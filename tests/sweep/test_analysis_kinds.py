"""`tune-nas analyze RUN KIND` from start to end, in this process: tracked, drawn, found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from analyzed_search import TINY
from typer.testing import CliRunner

from tune_nas.analysis_table import AnalysisTable
from tune_nas.cli import app
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.measured_analysis import MeasuredAnalysis
from tune_nas.sweep import RunOptions, SweepConfig, read_analysis, run_analysis, run_search
from tune_nas.sweep.analysis_run import find_analysis, request_analysis
from tune_nas.sweep.ineffective_keys import check_swept
from tune_nas.tracking import RunReader

PROBED: dict[str, Any] = {
    **TINY,
    "schedule": {"epochs": 2, "batch_size": 8},
    "probes": ["gradient-correlation"],
    "analysis": {"batches": 2},
}
KINDS = ("gradient-correlation", "gradient-bias", "edge-shuffle", "skip-gap", "hessian")


@pytest.fixture(scope="module")
def trial() -> TrialConfig:
    return with_overrides(PROBED, {})


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, trial: TrialConfig) -> str:
    folder = tmp_path_factory.mktemp("searched") / "runs"
    run_search(trial, RunOptions(storage=str(folder), quiet=True, concurrency=1), "tiny")
    return str(folder)


def analyze(storage: str, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["analyze", *arguments, "--storage", storage])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def runs_of(storage: str) -> dict[tuple[str, str], Any]:
    reader = RunReader(f"sqlite:///{storage}/mlflow.db")
    return {(run.sweep, run.phase): (reader, run) for run in reader.list_runs()}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_table_figure_and_run(storage: str, kind: str) -> None:
    """The table is that of the checkpoint; the second time it is only printed."""
    status, out, err = analyze(storage, "tiny", kind, "--quiet", "--format", "json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    folder = Path(storage, f"tiny-{kind}")
    table = read_analysis(folder)
    assert isinstance(table, AnalysisTable)
    assert document["rows"] == table.to_dict()["rows"] and document["kind"] == kind
    request = request_analysis("tiny", storage, None, {"analysis.kind": kind})
    expected = MeasuredAnalysis(request.trial)
    expected.run_epoch()
    assert table == expected.table()
    assert (folder / "analysis.csv").read_text() == table.to_csv()
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "report.md").read_text().startswith(f"# Analysis tiny-{kind}\n")

    runs = runs_of(storage)
    reader, run = runs[f"tiny-{kind}", "analysis"]
    assert run.parent == runs["tiny", "search"][1].run_id
    for name in ("analysis.json", "analysis.csv"):
        assert reader.read_artifact(run.run_id, name) == (folder / name).read_bytes()
    assert {key: run.metrics[key] for key in table.metrics} == table.metrics
    whole = runs[f"tiny-{kind}", "sweep"][1].run_id
    assert reader.read_artifact(whole, "figure.svg") == (folder / "figure.svg").read_bytes()

    status, again, note = analyze(storage, "tiny", kind)
    assert (status, note) == (0, f"tune-nas: note: analyzed before, in {folder}\n")
    assert again.startswith(f"{kind}: {request.trial.start_from}\n")
    assert table.sentence() in again
    known = find_analysis(request.trial, storage)
    assert known is not None and (known.name, known.finished) == (f"tiny-{kind}", True)


def test_the_table_of_a_probe_is_tracked_and_drawn(storage: str) -> None:
    """Under the search's own run, with the same epochs as the command gives."""
    reader, run = runs_of(storage)["tiny", "search"]
    csv = reader.read_artifact(run.run_id, "gradient_correlation.csv").decode()
    assert len(csv.splitlines()) == 1 + 2 * 6  # two epochs, two halves, three cells
    assert reader.read_artifact(run.run_id, "gradient_correlation.png").startswith(b"\x89PNG")
    text = reader.read_artifact(run.run_id, "gradient_correlation.table.json").decode()
    table = AnalysisTable.from_json(text, "file")
    assert table.to_csv() == csv
    assert (
        run.metrics["gradient_correlation/valid/first"]
        == table.metrics["gradient_correlation/valid/first"]
    )


def test_discretization_without_edges(storage: str) -> None:
    status, out, err = analyze(storage, "tiny", "discretization", "--epochs", "1", "--quiet")
    assert (status, err) == (0, "")
    assert out.startswith("normal 0->1: supernet accuracy")
    assert Path(storage, "tiny-discretization", "figure.png").is_file()


def test_a_running_search_is_analyzed_at_its_newest_checkpoint(
    storage: str, trial: TrialConfig, tmp_path: Path
) -> None:
    search = Search(trial)
    search.run_epoch()
    search.save(tmp_path / "first")
    options = RunOptions(storage=storage, quiet=True, concurrency=1)
    outcome = run_analysis(str(tmp_path / "first"), [], options, "first", kind="gradient-bias")
    assert isinstance(outcome.analysis, AnalysisTable)
    assert set(outcome.analysis.column("epoch")) == {1}
    with pytest.raises(Exception, match="search is not finished: 1 of 2 epochs are run"):
        run_analysis(str(tmp_path / "first"), [], options, "no", kind="discretization")
    assert not Path(storage, "no").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tiny",), "--edge is empty, but must name an edge"),
        (("tiny", "gradient-bais"), "analysis.kind is 'gradient-bais', but must be one of"),
        (("tiny", "gradient-bias", "--set", "analysis.shuffles=2"), "it needs edge-shuffle"),
        (("tiny", "edge-shuffle", "--epochs", "2"), "analysis.epochs is set, but has no effect"),
        (("tiny", "skip-gap", "--batches", "2"), "no effect on the analysis 'skip-gap'"),
        (("tiny", "gradient-bias", "--edge", "normal:0->1"), "analysis.edges is set, but has no"),
        (("tiny", "gradient-bias", "--batches", "0"), "must be >= 1"),
        (("tiny", "no_such_module:Mine"), "but importing it fails"),
        (("nothing", "gradient-bias"), "no run with id or name 'nothing'"),
    ],
)
def test_bad_input_gets_one_line(storage: str, arguments: tuple[str, ...], says: str) -> None:
    before = sorted(Path(storage).iterdir())
    status, out, err = analyze(storage, *arguments)
    assert (status, out) == (2, "")
    assert says in err and err.startswith("tune-nas: ") and err.count("\n") == 1
    assert sorted(Path(storage).iterdir()) == before


def test_keys_of_analyses_are_swept_with_a_probe_that_reads_them(trial: TrialConfig) -> None:
    sweep = SweepConfig.model_validate(
        {"trial": "tiny", "parameters": {"analysis.batches": {"grid": [1, 2]}}, "seeds": 1}
    )
    check_swept(sweep, [({"analysis.batches": 2}, trial)])
    alone = trial.model_copy(update={"probes": ["skip-gap"]})
    with pytest.raises(ConfigError, match="or a probe that reads it"):
        check_swept(sweep, [({"analysis.batches": 2}, alone)])
