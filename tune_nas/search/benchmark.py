"""The NAS-Bench-201 results: the true accuracy of every cell of that space.

Dong and Yang, "NAS-Bench-201", ICLR 2020. Test accuracy enters a search's metrics from here
alone, under ``benchmark/``; no search reads it back.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tune_nas.errors import ConfigError

BENCHMARK_SPACE = "nasbench201"

_COLUMNS = {
    "benchmark/cifar10_valid": "c10_valid_200",
    "benchmark/cifar10_test": "c10_test_200",
    "benchmark/cifar100_valid": "c100_valid_200",
    "benchmark/cifar100_test": "c100_test_200",
    "benchmark/imagenet16_120_valid": "in16_valid_200",
    "benchmark/imagenet16_120_test": "in16_test_200",
}


@dataclass(frozen=True)
class BenchmarkTable:
    """Accuracies in percent after 200 epochs, by cell in the benchmark's own notation."""

    rows: Mapping[str, Mapping[str, float]]

    def query(self, cell: str) -> dict[str, float]:
        """Return the ``benchmark/…`` accuracies of a cell.

        Raises:
            ConfigError: If the table has no such cell.
        """
        if cell not in self.rows:
            raise ConfigError(f"benchmark.table has no cell '{cell}'")
        return dict(self.rows[cell])


def load_benchmark(path: str | Path) -> BenchmarkTable:
    """Read the table from a CSV file, gzipped or not.

    Raises:
        ConfigError: If the file cannot be read or is not that table.
    """
    file = Path(path)
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = {
                row["arch"]: {name: float(row[column]) for name, column in _COLUMNS.items()}
                for row in reader
            }
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"benchmark.table is '{file}', but that is not the NAS-Bench-201 table: "
            f"it needs the columns arch, {', '.join(_COLUMNS.values())}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"benchmark.table is '{file}', but it cannot be read: {reason}"
        ) from error
    if not rows:
        raise ConfigError(f"benchmark.table is '{file}', but it has no rows")
    return BenchmarkTable(rows)
