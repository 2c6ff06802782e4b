"""The table in its compact format: a CSV file with one row per cell."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from tune_nas.errors import ConfigError

SPACE = "nasbench201"

Row = TypeVar("Row")

STEMS = {"cifar10": "c10", "cifar100": "c100", "imagenet16_120": "in16"}
"""Data set -> the start of its columns."""

COLUMNS = {
    f"{data}_{split}": f"{stem}_{split}_200"
    for data, stem in STEMS.items()
    for split in ("valid", "test")
}
ACCURACIES = tuple(COLUMNS)
"""Names of a cell's accuracies, ``cifar10_valid`` to ``imagenet16_120_test``."""


@dataclass(frozen=True)
class BenchmarkTable:
    """Accuracies in percent after 200 epochs, averaged over the benchmark's seeds.

    Args:
        rows: Accuracies by cell, in the benchmark's notation, and by name (`ACCURACIES`).
    """

    rows: Mapping[str, Mapping[str, float]]

    def query(self, cell: str) -> dict[str, float]:
        """Return the accuracies of a cell.

        Raises:
            ConfigError: If the table has no such cell.
        """
        if cell not in self.rows:
            raise ConfigError(f"the benchmark's table has no cell '{cell}'")
        return dict(self.rows[cell])

    def regret(self, cell: str, name: str) -> float:
        """Return the regret: the best cell's accuracy minus this one's, in percentage points."""
        return self._best[name] - self.query(cell)[name]

    def rank(self, cell: str, name: str) -> int:
        """Return the rank of the cell, 1 for the best; cells with equal accuracy share a rank."""
        accuracy = self.query(cell)[name]
        return 1 + sum(row[name] > accuracy for row in self.rows.values())

    def metrics(self, cell: str) -> dict[str, float]:
        """Return the metrics that a search reports: accuracies and regrets on the test images.

        Raises:
            ConfigError: If the table has no such cell.
        """
        found = {f"benchmark/{name}": value for name, value in self.query(cell).items()}
        regrets = {
            f"benchmark/{name}_regret": self.regret(cell, name)
            for name in ACCURACIES
            if name.endswith("_test")
        }
        return found | regrets

    @cached_property
    def _best(self) -> dict[str, float]:
        return {name: max(row[name] for row in self.rows.values()) for name in ACCURACIES}


def load_benchmark(path: str | Path) -> BenchmarkTable:
    """Read the table from a CSV file, gzipped or not; unknown columns are ignored.

    Raises:
        ConfigError: If the file cannot be read or is not that table.
    """
    return BenchmarkTable(
        read_rows(
            path,
            lambda row: {name: parse_accuracy(row[column]) for name, column in COLUMNS.items()},
            lambda _: (
                f"it needs the columns arch, {', '.join(COLUMNS.values())}, accuracies in percent"
            ),
        )
    )


def read_rows(
    path: str | Path,
    parse: Callable[[Mapping[str, str]], Row],
    complaint: Callable[[Exception], str],
) -> dict[str, Row]:
    """Return the rows of a CSV file of the benchmark, gzipped or not, by cell.

    Args:
        path: The file.
        parse: Returns a row, given its columns; its errors mean that the file is not the table.
        complaint: Returns what is wrong with the file, given such an error.

    Raises:
        ConfigError: If the file cannot be read, is not the table, or has no rows.
    """
    file = Path(path)
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as stream:
            rows = {row["arch"]: parse(row) for row in csv.DictReader(stream)}
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise ConfigError(f"'{file}' is not the NAS-Bench-201 table: {complaint(error)}") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the benchmark's table '{file}' cannot be read: {reason}") from error
    if not rows:
        raise ConfigError(f"'{file}' is not the NAS-Bench-201 table: it has no rows")
    return rows


def parse_accuracy(text: str) -> float:
    """Return an accuracy in percent.

    Raises:
        ValueError: If it is not a number from 0 to 100.
    """
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 100):
        raise ValueError(f"{value} is no accuracy in percent")
    return value
