"""The compact table: what it says of a cell, against the published points and numbers by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tune_nas.benchmark import ACCURACIES, BenchmarkTable, find_table, load_benchmark
from tune_nas.benchmark.location import user_table
from tune_nas.benchmark.table import COLUMNS
from tune_nas.errors import ConfigError

ALL_SKIP = (
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|"
    "+|skip_connect~0|skip_connect~1|skip_connect~2|"
)


def row(accuracy: float) -> dict[str, float]:
    return dict.fromkeys(ACCURACIES, accuracy)


def test_the_real_table_has_the_published_points(shared_data_dir: Path) -> None:
    table = load_benchmark(shared_data_dir / "nasbench201.csv.gz")
    assert len(table.rows) == 15_625
    skip = table.metrics(ALL_SKIP)
    assert skip["benchmark/cifar10_test"] == pytest.approx(54.30, abs=0.005)
    assert skip["benchmark/cifar100_test"] == pytest.approx(15.61, abs=0.005)
    assert skip["benchmark/imagenet16_120_test"] == pytest.approx(16.32, abs=0.02)
    # The published optima: 94.37, 73.51, 47.31.
    assert skip["benchmark/cifar10_test_regret"] == pytest.approx(94.37 - 54.30, abs=0.01)
    assert skip["benchmark/cifar100_test_regret"] == pytest.approx(73.51 - 15.61, abs=0.01)
    assert skip["benchmark/imagenet16_120_test_regret"] == pytest.approx(47.31 - 16.32, abs=0.02)


def test_ranks_and_regrets_by_hand() -> None:
    table = BenchmarkTable({"a": row(90.0), "b": row(94.0), "c": row(90.0), "d": row(80.0)})
    assert [table.rank(cell, "cifar10_test") for cell in "abcd"] == [2, 1, 2, 4]
    assert [table.regret(cell, "cifar10_test") for cell in "abcd"] == [4.0, 0.0, 4.0, 14.0]
    assert table.metrics("b")["benchmark/cifar100_test_regret"] == 0.0
    assert "benchmark/cifar10_valid_regret" not in table.metrics("b")
    with pytest.raises(ConfigError, match="no cell 'e'"):
        table.query("e")


BAD = [
    "",
    "a,b\n1,2\n",
    "arch,c10_valid_200\nx,1\n",
    f"arch,{','.join(COLUMNS.values())}\nx,1,2,3,4,5\n",
    f"arch,{','.join(COLUMNS.values())}\nx,1,2,3,4,5,nan\n",
    f"arch,{','.join(COLUMNS.values())}\nx,1,2,3,4,5,101\n",
    "x" * 200_000,
]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_what_is_not_the_table_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(content.encode()))
    with pytest.raises(ConfigError, match=r"is not the NAS-Bench-201 table") as caught:
        load_benchmark(path)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_absent_or_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_benchmark(tmp_path / "absent.csv.gz")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"arch,x\n" * 1000)[:40])
    with pytest.raises(ConfigError, match=r"cannot be read|is not the NAS-Bench-201 table"):
        load_benchmark(tmp_path / "cut.csv.gz")


def test_where_the_table_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_NAS_BENCHMARK", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    own = tmp_path / "tune-nas" / "nasbench201.csv.gz"
    assert (user_table(), find_table("auto"), find_table(None)) == (own, None, None)
    assert find_table("~/mine.csv") == Path.home() / "mine.csv"
    own.parent.mkdir()
    own.touch()
    assert find_table("auto") == own
    monkeypatch.setenv("TUNE_NAS_BENCHMARK", str(tmp_path / "other.csv"))
    assert (user_table(), find_table("auto")) == (tmp_path / "other.csv", None)
