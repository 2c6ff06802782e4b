"""Conversion of a published file to the compact format that tune-nas reads."""

from __future__ import annotations

import itertools
from pathlib import Path

from tune_nas.benchmark.location import user_table
from tune_nas.benchmark.official import read_official
from tune_nas.benchmark.table import SPACE, BenchmarkTable
from tune_nas.benchmark.training_table import TrainingTable, load_trainings, save_trainings
from tune_nas.errors import ConfigError
from tune_nas.library import read_yaml
from tune_nas.shipped import find

_OFFICIAL = (".pth", ".pbz2")
_COMPACT = (".csv", ".csv.gz")


def import_benchmark(source: Path) -> tuple[BenchmarkTable, Path]:
    """Read a published or compact file and write the table to where searches find it.

    Args:
        source: ``NAS-Bench-201-v1_*.pth``, ``NATS-tss-v1_*.pickle.pbz2``, the folder
            ``NATS-tss-v1_*-simple``, or a CSV file, gzipped or not.

    Returns:
        The table of the accuracies and the file it was written to.

    Raises:
        ConfigError: If it is none of these, cannot be read, or lacks a cell of the space.
    """
    if source.is_dir() or source.name.endswith(_OFFICIAL):
        table = TrainingTable(read_official(source))
    elif source.name.endswith(_COMPACT):
        table = load_trainings(source)
    else:
        kinds = ", ".join(f"*{ending}" for ending in (*_OFFICIAL, *_COMPACT))
        raise ConfigError(f"'{source}' is no benchmark file; it must be {kinds}, or the folder")
    cells = all_cells()
    missing = cells - table.rows.keys()
    if missing:
        raise ConfigError(
            f"'{source}' has {len(cells) - len(missing):,} of the {len(cells):,} cells, but a "
            f"regret needs them all; '{min(missing)}' is missing"
        )
    target = user_table()
    save_trainings(table, target)
    return table.accuracies(), target


def all_cells() -> set[str]:
    """Return every cell of the space in the benchmark's notation."""
    operations = read_yaml(find("space", SPACE))["cells"]["normal"]["operations"]
    return {
        f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
        for a, b, c, d, e, f in itertools.product(operations, repeat=6)
    }
