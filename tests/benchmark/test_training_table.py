"""The trainings of the table, against the columns of the file and numbers by hand."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from tune_nas.benchmark import DATA, CellTraining, TrainingTable, load_benchmark, load_trainings
from tune_nas.benchmark.training_table import save_trainings
from tune_nas.errors import ConfigError

STEMS = {"cifar10": "c10", "cifar100": "c100", "imagenet16_120": "in16"}


def test_the_real_table_has_the_trainings_of_its_columns(shared_data_dir: Path) -> None:
    file = shared_data_dir / "nasbench201.csv.gz"
    table = load_trainings(file)
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        columns = list(csv.DictReader(stream))
    assert len(table.rows) == len(columns) == 15_625
    for row in columns[::500]:
        cell = row["arch"]
        for data, stem in STEMS.items():
            assert table.test(cell, data) == float(row[f"{stem}_test_200"])
            assert table.accuracy(cell, data, 12, seed=1) == float(row[f"{stem}_valid_12"])
        # A run for CIFAR-10, the mean elsewhere: the other columns by seed contain test images.
        runs = [float(run) for run in row["c10_valid_200_seeds"].split(";")]
        assert len(runs) > 1
        assert [table.accuracy(cell, "cifar10", 200, seed) for seed in range(6)] == [
            runs[seed % len(runs)] for seed in range(6)
        ]
        assert table.accuracy(cell, "cifar100", 200, seed=1) == float(row["c100_valid_200"])
        assert table.seconds(cell, "cifar10", 200) == float(row["c10valid_train_s_200"])
        assert table.seconds(cell, "imagenet16_120", 12) == pytest.approx(
            float(row["in16_train_s_200"]) * 12 / 200
        )
    best = [round(table.best_test(data), 2) for data in DATA]
    assert best == [94.37, 73.51, 47.31]  # as published


def training(valid: float = 80.0, seconds: float | None = 100.0) -> CellTraining:
    return CellTraining(
        {12: valid - 10, 200: valid}, {12: 60.0, 200: 79.5}, {200: (79.0, 81.0)}, seconds
    )


def test_a_saved_table_is_the_same_again(tmp_path: Path) -> None:
    unknown = CellTraining({200: 50.25}, {200: 49.5})
    rows = {"a": dict.fromkeys(DATA, training()), "b": dict.fromkeys(DATA, unknown)}
    path = tmp_path / "new" / "table.csv.gz"
    save_trainings(TrainingTable(rows), path)
    assert load_trainings(path) == TrainingTable(rows)
    assert load_benchmark(path) == TrainingTable(rows).accuracies()
    assert load_benchmark(path).query("b") == {
        f"{data}_{split}": value
        for data in DATA
        for split, value in (("valid", 50.25), ("test", 49.5))
    }
    assert list(path.parent.iterdir()) == [path]
    assert TrainingTable(rows).digest() == load_trainings(path).digest()
    assert TrainingTable({"a": rows["a"]}).digest() != TrainingTable(rows).digest()


def written(path: Path, **changes: str) -> Path:
    """Write a table with one cell in which some columns are changed or left out."""
    row = {"arch": "x"}
    for stem in STEMS.values():
        row |= {f"{stem}_{split}_{n}": "50" for split in ("valid", "test") for n in (12, 200)}
        row[f"{stem}_train_s_200"] = row["c10valid_train_s_200"] = "100"
    row |= changes
    row = {name: text for name, text in row.items() if text != "-"}
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(row))
        writer.writeheader()
        writer.writerow(row)
    return path


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("c10_valid_200", "101"),
        ("c10_valid_12", "nan"),
        ("c100_test_200", "-"),
        ("in16_valid_200", ""),
        ("c10valid_train_s_200", "0"),
        ("c100_train_s_200", "inf"),
        ("c10_valid_200_seeds", "90;x"),
        ("arch", "-"),
    ],
)
def test_a_damaged_column_is_refused_in_one_line(column: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the NAS-Bench-201 table") as caught:
        load_trainings(written(tmp_path / "table.csv", **{column: text}))
    assert "\n" not in str(caught.value)


def test_what_a_file_lacks_is_named_when_it_is_needed(tmp_path: Path) -> None:
    table = load_trainings(written(tmp_path / "table.csv"))
    for data in DATA:
        table.check(data, (12, 200))
    old = dict.fromkeys(("c10_valid_12", "c10valid_train_s_200"), "-")
    table = load_trainings(written(tmp_path / "table.csv", **old))
    table.check("cifar100", (12, 200))
    again = r"import the published file again: tune-nas benchmark import FILE$"
    with pytest.raises(ConfigError, match=f"no accuracies after 12 epochs, .*{again}"):
        table.check("cifar10", (12, 200))
    with pytest.raises(ConfigError, match=f"no training times, .*{again}"):
        table.check("cifar10", (200,))
    with pytest.raises(ConfigError, match="no accuracies after 12 epochs"):
        table.accuracy("x", "cifar10", 12, 0)
    with pytest.raises(ConfigError, match="no training times"):
        table.seconds("x", "cifar10", 12)
    with pytest.raises(ConfigError, match="no cell 'y'"):
        table.test("y", "cifar10")


def test_other_levels_are_refused(tmp_path: Path) -> None:
    table = load_trainings(written(tmp_path / "table.csv"))
    message = r"strategy.levels has 100, .* 12 and 200 epochs only; the nearest is 12$"
    with pytest.raises(ConfigError, match=message):
        table.check("cifar10", (12, 100))
    with pytest.raises(ConfigError, match=r"has 150, .* the nearest is 200"):
        table.check("cifar10", (150,))
