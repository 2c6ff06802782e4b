"""The analysis of the operations on edges of a finished search."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest

from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, ConfigError, StorageError, TuneNasError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.library import with_overrides
from tune_nas.operation_strength import EdgeAnalysis, OperationStrength, StrengthTable
from tune_nas.search import Search
from tune_nas.search.analysis import Analysis
from tune_nas.search.edge_operations import count_operations

PT = {"selection.kind": "perturbation", "selection.perturbation.interval": 1}
NAMES = ["skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"]


def analyzing(trial: TrialConfig, checkpoint: Path, *edges: str, **changes: Any) -> TrialConfig:
    own = {"start_from": str(checkpoint), "analysis": {"edges": list(edges), "epochs": 2}}
    return with_overrides(trial, {**own, **changes})


def finished(analysis: Analysis) -> Analysis:
    while not analysis.done:
        analysis.run_epoch()
    return analysis


def test_the_strength_of_an_operation(trial: TrialConfig, checkpoint: Path) -> None:
    """The accuracies are those of supernets that are discretized and tuned by hand."""
    analysis = finished(Analysis(analyzing(trial, checkpoint, "reduction:0->2")))
    (found,) = analysis.table().edges
    assert [strength.operation for strength in found.operations] == NAMES

    source = Search(trial)
    source.load(checkpoint)
    alphas = source.alphas["reduction"][0].detach()
    weights = alphas.softmax(0)
    for column, strength in enumerate(found.operations, start=1):
        assert strength.alpha == float(alphas[column])
        assert strength.weight == pytest.approx(float(weights[column]))
    whole = source.evaluate(source.expected_weights(), batch_statistics=True)
    assert found.supernet == whole[1]

    by_hand = Search(with_overrides(trial, {"start_from": str(checkpoint), **PT}))
    by_hand.optimizers.restart_weights(by_hand.supernet)
    by_hand.choices.decide("reduction", 0, 3)
    by_hand.selection.learning_rate = lambda _: 0.0025  # type: ignore[method-assign]
    by_hand.selection.decide = lambda epoch: None  # type: ignore[attr-defined]
    by_hand.run_epoch()
    by_hand.run_epoch()
    last = by_hand.evaluate(by_hand.expected_weights(), batch_statistics=True)
    assert found.operations[2].converged == last[1]

    ranks = found.ranks()
    best = max(found.operations, key=lambda strength: strength.converged).operation
    assert ranks["discretisation"][best] == 1
    assert ranks["magnitude"][NAMES[int(weights[1:].argmax())]] == 1
    assert sorted(ranks["perturbation"].values()) == [1, 2, 3, 4]


def test_killed_after_any_operation_it_ends_with_the_same_table(
    trial: TrialConfig, checkpoint: Path, tmp_path: Path
) -> None:
    """Bit for bit, with the edges and their operations in order."""
    own = analyzing(trial, checkpoint, "normal:0->2", "reduction:1->3")
    whole = Analysis(own)
    reported = []
    while not whole.done:
        metrics = whole.run_epoch()
        reported.append({k: v for k, v in metrics.items() if k not in ("seconds", "memory_mib")})
        whole.save(tmp_path / str(whole.epoch))
    assert (whole.epoch, count_operations(own)) == (8, 8)
    table = whole.table()
    assert [(edge.cell, edge.edge) for edge in table.edges] == [
        ("normal", "0->2"),
        ("reduction", "1->3"),
    ]
    for killed_after in range(1, 8):
        resumed = Analysis(own)
        resumed.load(tmp_path / str(killed_after))
        assert resumed.epoch == killed_after
        rest = []
        while not resumed.done:
            rest.append(resumed.run_epoch())
        assert resumed.table() == table
        assert resumed.artifacts() == whole.artifacts()
        for metrics, expected in zip(rest, reported[killed_after:], strict=True):
            assert {key: metrics[key] for key in expected} == expected
    with pytest.raises(TuneNasError, match="the analysis is over: 8 operations"):
        whole.run_epoch()


def test_metrics_and_remarks_are_those_of_the_operation(
    trial: TrialConfig, checkpoint: Path
) -> None:
    analysis = Analysis(analyzing(trial, checkpoint, "normal:1->3"))
    assert analysis.remarks() == {} and analysis.result() is None
    assert analysis.table().edges == []
    metrics = analysis.run_epoch()
    (edge,) = analysis.table().edges
    (strength,) = edge.operations
    assert metrics["epoch"] == analysis.epoch == 1
    expected = {
        "supernet_accuracy": edge.supernet,
        "alpha": strength.alpha,
        "weight": strength.weight,
        "accuracy_without": strength.without,
        "loss_without": strength.loss_without,
        "accuracy_at_convergence": strength.converged,
    }
    assert {key: metrics[key] for key in expected} == expected
    last = f"normal 1->3 skip_connect: {strength.converged:.2f} %"
    assert analysis.remarks() == {DECISIONS: last}


def test_operations_that_the_search_has_removed_are_left_out(
    trial: TrialConfig, checkpoint: Path, tmp_path: Path
) -> None:
    """The trial alone does not say so: the analysis ends earlier, with the reason."""
    search = Search(trial)
    search.load(checkpoint)
    mask = search.choices.remaining("normal").clone()
    mask[0, 2] = False
    search.keep("normal", mask)
    search.save(tmp_path / "pruned")
    own = analyzing(trial, tmp_path / "pruned", "normal:0->2")
    analysis = finished(Analysis(own))
    (edge,) = analysis.table().edges
    assert [each.operation for each in edge.operations] == [NAMES[0], *NAMES[2:]]
    assert (count_operations(own), analysis.epoch) == (4, 3)
    assert analysis.remarks()[ENDED] == "the search had removed 1 operation of the edges"


def test_an_analysis_names_what_is_not_there(
    trial: TrialConfig, checkpoint: Path, tmp_path: Path
) -> None:
    for edges, text in (
        (["middle:0->2"], "'middle', but must be one of normal, reduction"),
        (["normal:0->2", "normal:7->9"], "no edge '7->9'; it has 0->2, 1->2, 0->3, 1->3, 2->3"),
        ([], "`analysis.edges` is empty, but must name an edge"),
    ):
        with pytest.raises(ConfigError, match=text):
            Analysis(analyzing(trial, checkpoint, *edges))
    with pytest.raises(ConfigError, match="start_from is null"):
        Analysis(analyzing(trial, checkpoint, "normal:0->2", start_from=None))
    search = Search(trial)
    search.load(checkpoint)
    search.decide("normal", 0, 1)
    search.save(tmp_path / "decided")
    with pytest.raises(ConfigError, match="edge 0->2 of the normal cell is decided already"):
        Analysis(analyzing(trial, tmp_path / "decided", "normal:0->2"))


def test_edges_are_read_as_they_are_typed() -> None:
    trial = with_overrides({}, {"analysis.edges": [" normal : 0 -> 2", "normal:0->2", "a:1->2"]})
    assert trial.analysis.edges == ["normal:0->2", "a:1->2"]
    for wrong in ("0->2", "normal:02"):
        with pytest.raises(ConfigError, match=r"must be written CELL:EDGE, e.g. 'normal:0->2'"):
            with_overrides({}, {"analysis.edges": [wrong]})
    with pytest.raises(ConfigError, match=r"analysis.epochs is 0, but must be >= 1"):
        with_overrides({}, {"analysis.epochs": 0})


def test_a_checkpoint_of_another_analysis_is_refused(
    trial: TrialConfig, checkpoint: Path, tmp_path: Path
) -> None:
    analysis = Analysis(analyzing(trial, checkpoint, "normal:0->2"))
    analysis.run_epoch()
    analysis.save(tmp_path)
    other = Analysis(analyzing(trial, checkpoint, "normal:0->2", **{"analysis.epochs": 3}))
    with pytest.raises(CheckpointError, match=r"another trial: analysis\.epochs differ"):
        other.load(tmp_path)
    (tmp_path / "analysis.pt").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="damaged checkpoint"):
        analysis.load(tmp_path)


def test_the_table_survives_its_file() -> None:
    """Also numbers that JSON does not have, and every bit of the others."""
    strengths = [
        OperationStrength("none", 0.1 + 0.2, 1 / 3, 12.5, math.inf, 50.0),
        OperationStrength("nor_conv_3x3", -1e-9, 2 / 3, 0.0, 1.25, 100 / 3),
    ]
    table = StrengthTable("/a/b", 5, [EdgeAnalysis("normal", "0->2", 200 / 3, strengths)])
    assert StrengthTable.from_json(table.to_json(), "file") == table
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [row["operation"] for row in rows] == ["none", "nor_conv_3x3"]
    assert [float(row["converged"]) for row in rows] == [50.0, 100 / 3]
    assert {float(row["supernet"]) for row in rows} == {200 / 3}
    assert "| nor_conv_3x3 | -0.0000 | 0.6667 (1) | 0.00 (1) | 33.33 (2) |" in table.markdown("x")
    for damaged in ("", "[]", "{}", '{"checkpoint": "", "epochs": 1, "edges": [{}]}'):
        with pytest.raises(StorageError, match="file is damaged: not an analysis"):
            StrengthTable.from_json(damaged, "file")
