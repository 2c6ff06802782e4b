"""`tune-nas benchmark`, from a published file to its use in a search and a query."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tune_nas.benchmark.importing import all_cells
from tune_nas.benchmark.table import COLUMNS

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TUNE_NAS_BENCHMARK")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def write_table(path: Path) -> None:
    """Write a table: a cell has 90 %, four have more, up to 94 %, and all others 50 %."""
    cells = sorted(all_cells() - {CELL})
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["index", "arch", *COLUMNS.values()])
        for index, cell in enumerate([CELL, *cells]):
            accuracy = 90 + index if index < 5 else 50
            writer.writerow([index, cell, *[accuracy] * 6])


def test_a_cell_of_an_imported_table(command_line) -> None:
    write_table(Path("table.csv"))
    target = str(command_line.folder / "share" / "tune-nas" / "nasbench201.csv.gz")
    assert command_line.json("benchmark", "import", "table.csv") == {
        "cells": 15_625,
        "table": target,
    }
    found = command_line.json("benchmark", "query", CELL)
    assert (found["cell"], found["cells"]) == (CELL, 15_625)
    assert found["accuracies"]["cifar10_test"] == {"accuracy": 90.0, "rank": 5, "regret": 4.0}
    # By hand: stem, three stages of five cells (a 3x3 and a 1x1 convolution, each with batch
    # normalization), two residual reductions, last normalization, classifier.
    stem = 3 * 9 * 16 + 32
    cells = sum(5 * (9 * c * c + 2 * c + c * c + 2 * c) for c in (16, 32, 64))
    reductions = sum(9 * c * 2 * c + 4 * c + 9 * 4 * c * c + 4 * c + 2 * c * c for c in (16, 32))
    assert found["parameters"] == stem + cells + reductions + 128 + 64 * 10 + 10
    text = command_line.ok("benchmark", "query", CELL)
    assert "90.00 %" in text
    assert "of 15,625 cells" in text


def test_the_file_of_a_genotype_is_a_cell(command_line) -> None:
    write_table(Path("table.csv"))
    Path("cell.txt").write_text(CELL, encoding="utf-8")
    found = command_line.json("benchmark", "query", "cell.txt", "--table", "table.csv")
    assert found["cell"] == CELL


DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=range(2, 3), "
    "reduce=[('max_pool_3x3', 0), ('skip_connect', 1)], reduce_concat=range(2, 3))"
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "absent.csv"], "'absent.csv' cannot be read: No such file"),
        (["import", "absent.txt"], "is no benchmark file; it must be *.pth"),
        (["query", CELL], "write it with tune-nas benchmark import FILE"),
        (["query", CELL, "--table", "absent.csv"], "'absent.csv' cannot be read"),
        (["query", CELL.replace("~0", "")], "must be written |operation~source|"),
        (["query", CELL.replace("nor_conv_1x1", "conv")], "conv"),
        (["query", "|none~0|"], "has 0 edges into it"),
        (["query", DARTS], "the benchmark knows cells of space 'nasbench201', not 'darts'"),
        (["query", "nothing"], "'nothing' is neither a genotype nor a file"),
    ],
)
def test_bad_input_of_the_benchmark(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused("benchmark", *arguments)


def test_a_sweep_that_ranks_by_true_accuracies_needs_the_table(command_line) -> None:
    Path("mine.yaml").write_text(
        "trial: milenas\nset: {space.name: nasbench201}\nmetric: benchmark/cifar10_test\n"
        "parameters: {update.lambda: {grid: [1]}}\n",
        encoding="utf-8",
    )
    assert "write it with tune-nas benchmark import FILE" in command_line.refused(
        "sweep", "mine.yaml"
    )
    Path("table.csv").touch()
    assert "where space.name is 'darts'" in command_line.refused(
        "sweep", "mine.yaml", "--space", "darts", "--set", "benchmark.table=table.csv"
    )
