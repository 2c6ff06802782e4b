"""The work of `tune-nas benchmark import`."""

from __future__ import annotations

from pathlib import Path

from tune_nas.benchmark import import_benchmark
from tune_nas.cli.output import Format, echo, print_json


def import_table(file: Path, output: Format) -> None:
    """Read a published file, write the table, and print where it is."""
    table, target = import_benchmark(file)
    if output is Format.JSON:
        print_json({"cells": len(table.rows), "table": target})
    else:
        echo(f"{len(table.rows):,} cells, in {target}")
