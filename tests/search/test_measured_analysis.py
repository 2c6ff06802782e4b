"""An analysis of a checkpoint: the table, the epochs of a probe, resuming, running searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tune_nas import manifest
from tune_nas.analysis_table import AnalysisTable, TableAxes, with_epochs
from tune_nas.config import TrialConfig
from tune_nas.config.analysis_config import READS_OF_KIND, READS_OF_PROBE
from tune_nas.config.analysis_keys import check_analysis_keys, read_by_probes
from tune_nas.errors import CheckpointError, ConfigError, StorageError, TuneNasError
from tune_nas.learner import DECISIONS
from tune_nas.library import with_overrides
from tune_nas.operation_strength import EdgeAnalysis, OperationStrength, StrengthTable
from tune_nas.search import Search
from tune_nas.search.analyses import load_analysis
from tune_nas.search.analyses.gradient_bias import GradientBias
from tune_nas.search.analysis import Analysis
from tune_nas.search.measured_analysis import MeasuredAnalysis, check_analysis
from tune_nas.user_code import declared_reads

BATCHES = {"analysis.batches": 1}


class SpreadOfWeights(GradientBias):
    """A custom analysis: the largest operation weight of each cell type."""

    kind = "spread"
    reads = ("analysis.shuffles",)

    def measure(self, search: Any) -> AnalysisTable:
        weights = search.expected_weights()
        rows = [(name, float(own.operations.max())) for name, own in weights.items()]
        return AnalysisTable(
            "spread", ("cell", "largest"), list(rows), TableAxes("cell", "largest")
        )


OWN = f"{__name__}:SpreadOfWeights"


def measuring(trial: TrialConfig, checkpoint: Path, kind: str, **changes: Any) -> MeasuredAnalysis:
    own = {"start_from": str(checkpoint), "analysis.kind": kind, **changes}
    return MeasuredAnalysis(with_overrides(trial, own))


def run(analysis: MeasuredAnalysis) -> AnalysisTable:
    analysis.run_epoch()
    table = analysis.table()
    assert table is not None and analysis.done
    return table


def test_a_checkpoint_is_measured_as_its_search_would_be(
    trial: TrialConfig, checkpoint: Path, folder: Path
) -> None:
    """Of a finished search and of one that still runs, whose epoch is in the table."""
    for path, epoch in ((checkpoint, 2), (folder / "unfinished", 1)):
        search = Search(with_overrides(trial, BATCHES))
        search.load(path)
        expected = GradientBias(search).measured(search)
        analysis = measuring(trial, path, "gradient-bias", **BATCHES)
        check_analysis(analysis.trial)
        assert (analysis.epoch, analysis.remarks(), analysis.artifacts()) == (0, {}, {})
        metrics = analysis.run_epoch()
        table = analysis.table()
        assert table is not None
        assert table.rows == [(epoch, *row) for row in expected.rows]
        assert (table.checkpoint, table.columns[0]) == (str(path), "epoch")
        assert {key: metrics[key] for key in expected.metrics} == expected.metrics
        assert analysis.remarks()[DECISIONS] == table.sentence()
        assert analysis.artifacts()["analysis.csv"] == table.to_csv()
        with pytest.raises(TuneNasError, match="the analysis is over"):
            analysis.run_epoch()


def test_the_epochs_of_a_probe_are_in_the_table(trial: TrialConfig, tmp_path: Path) -> None:
    """If the probe had the same options; otherwise only the checkpoint is measured."""
    probing = with_overrides(trial, {"probes": ["gradient-bias"], **BATCHES})
    search = Search(probing)
    search.run_epoch()
    search.run_epoch()
    search.save(tmp_path / "end")
    known = run(measuring(probing, tmp_path / "end", "gradient-bias"))
    assert known.to_csv() == search.artifacts()["gradient_bias.csv"]
    assert set(known.column("epoch")) == {1, 2}
    other = run(measuring(probing, tmp_path / "end", "gradient-bias", **{"analysis.batches": 2}))
    assert set(other.column("epoch")) == {2}
    gaps = run(measuring(trial, tmp_path / "end", "skip-gap"))
    assert gaps.column("skip_gap") == [m["skip_advantage"] for m in search.history]


def test_it_resumes_and_refuses_what_is_not_its_own(
    trial: TrialConfig, checkpoint: Path, tmp_path: Path
) -> None:
    analysis = measuring(trial, checkpoint, "gradient-bias", **BATCHES)
    analysis.save(tmp_path / "before")
    run(analysis)
    analysis.save(tmp_path / "after")
    resumed = measuring(trial, checkpoint, "gradient-bias", **BATCHES)
    resumed.load(tmp_path / "before")
    assert run(resumed) == analysis.table()
    again = measuring(trial, checkpoint, "gradient-bias", **BATCHES)
    again.load(tmp_path / "after")
    assert (again.table(), again.epoch) == (analysis.table(), 1)
    other = measuring(trial, checkpoint, "gradient-correlation", **BATCHES)
    with pytest.raises(CheckpointError, match=r"another trial: analysis\.kind differ"):
        other.load(tmp_path / "after")
    with pytest.raises(ConfigError, match="start_from is null"):
        MeasuredAnalysis(with_overrides(trial, {"analysis.kind": "gradient-bias"}))
    elsewhere = with_overrides(trial, {"seed": 5})
    with pytest.raises(CheckpointError, match="seed differ"):
        check_analysis(measuring(elsewhere, checkpoint, "gradient-bias").trial)


def test_a_custom_analysis(trial: TrialConfig, checkpoint: Path) -> None:
    table = run(measuring(trial, checkpoint, OWN))
    assert (table.kind, [row[:2] for row in table.rows]) == (
        "spread",
        [(2, "normal"), (2, "reduction")],
    )
    with pytest.raises(ConfigError, match=r"analysis\.kind is '.*', but must be a class derived"):
        measuring(trial, checkpoint, f"{__name__}:OWN")
    with pytest.raises(ConfigError, match="did you mean 'skip-gap'"):
        measuring(trial, checkpoint, "skip-gab")


def test_the_custom_analysis_of_the_docs(
    trial: TrialConfig, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "analyses.md"
    code = page.read_text("utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "largest_weights.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    table = run(measuring(trial, checkpoint, "largest_weights:LargestWeights"))
    search = Search(trial)
    search.load(checkpoint)
    expected = search.expected_weights()["normal"].operations.max(dim=1).values.tolist()
    assert [row[3] for row in table.rows if row[1] == "normal"] == expected


def test_discretization_takes_the_first_edges(trial: TrialConfig, checkpoint: Path) -> None:
    keys = {"start_from": str(checkpoint), "analysis": {"kind": "discretization", "epochs": 1}}
    analysis = Analysis(with_overrides(trial, keys))
    while not analysis.done:
        analysis.run_epoch()
    found = analysis.table().discretization()
    assert {row[:2] for row in found.rows} == {("normal", "0->2"), ("reduction", "0->2")}
    assert found.checkpoint == str(checkpoint)


def test_the_agreement_of_alpha_and_accuracy() -> None:
    """On the first edge the largest α is the best, on the second it is not."""

    def edge(name: str, *pairs: tuple[float, float]) -> EdgeAnalysis:
        of = [
            OperationStrength(f"op{n}", alpha, 0.5, 1.0, 1.0, accuracy)
            for n, (alpha, accuracy) in enumerate(pairs)
        ]
        return EdgeAnalysis("normal", name, 50.0, of)

    table = StrengthTable(
        "/a", 1, [edge("0->1", (0.1, 40.0), (0.3, 60.0)), edge("0->2", (0.2, 70.0), (0.4, 50.0))]
    )
    found = table.discretization()
    assert found.metrics == {"discretization/agreement": 0.5}
    assert found.rows[1] == ("normal", "0->1", "op1", 0.3, 0.5, 60.0)


def test_a_table_survives_its_file() -> None:
    axes = TableAxes("x", "y", panels=("x",), panels_over_epochs=("y",))
    rows = [("a", 1, 0.1 + 0.2), ("b", 2, float("inf"))]
    table = AnalysisTable("k", ("x", "n", "y"), list(rows), axes, {"m": 1.5}, "/c")
    assert AnalysisTable.from_json(table.to_json(), "file") == table
    assert table.to_csv() == "x,n,y\na,1,0.30000000000000004\nb,2,inf\n"
    assert "| b | 2 | inf |" in table.markdown("name") and "m 1.5." in table.markdown("name")
    for damaged in ("", "[]", "{}", table.to_json().replace('"y": "y"', '"z": "y"')):
        with pytest.raises(StorageError, match="file is damaged: not an analysis"):
            AnalysisTable.from_json(damaged, "file")
    with pytest.raises(ValueError, match="a row has 1 values, but must have 3"):
        AnalysisTable("k", ("x", "n", "y"), [("a",)], axes)
    both = with_epochs([(1, table), (3, table)])
    assert both.rows == [(1, *rows[0]), (1, *rows[1]), (3, *rows[0]), (3, *rows[1])]
    assert (both.axes.x, both.axes.panels, both.axes.connected) == ("epoch", ("y",), True)
    assert with_epochs([(1, table)]).axes == axes


@pytest.mark.parametrize("name", manifest.SHIPPED["probes"])
def test_the_keys_of_a_probe_are_those_that_its_class_declares(name: str) -> None:
    declared = load_analysis(name).reads or ()
    assert set(READS_OF_PROBE[name]) == {key for key in declared if key.startswith("analysis.")}
    assert READS_OF_KIND.keys() == set(manifest.SHIPPED["analyses"])


def test_keys_that_an_analysis_does_not_read() -> None:
    for kind, key, says in (
        ("gradient-bias", "analysis.shuffles", "'gradient-bias'; it needs edge-shuffle"),
        ("strength", "analysis.batches", "'strength'; it needs gradient-correlation or gradient-b"),
        ("skip-gap", "selection.perturbation.batches", "needs strength or discretization"),
        ("edge-shuffle", "analysis.every", "no effect on the analysis 'edge-shuffle'"),
        (OWN, "analysis.batches", "no effect on the analysis"),
    ):
        with pytest.raises(ConfigError, match=says):
            check_analysis_keys({"analysis.kind": kind, key: 2}, kind, declared_reads)
    for kind, key in (
        ("gradient-bias", "analysis.batches"),
        ("discretization", "analysis.edges"),
        ("strength", "runtime.threads"),
        (OWN, "analysis.shuffles"),
    ):
        check_analysis_keys({key: 2}, kind, declared_reads)
    probing = with_overrides({}, {"probes": ["edge-shuffle", OWN]})
    assert read_by_probes(probing, "analysis.batches", declared_reads)
    assert read_by_probes(probing, "analysis.every", declared_reads)
    assert not read_by_probes(probing, "analysis.epochs", declared_reads)
    assert not read_by_probes(with_overrides({}, {}), "analysis.batches", declared_reads)
