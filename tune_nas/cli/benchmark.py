"""`tune-nas benchmark`: the true accuracies of the NAS-Bench-201 space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_nas.cli import bodies
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format

app = typer.Typer(help="The true accuracies of the NAS-Bench-201 space.", no_args_is_help=True)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="NAS-Bench-201-v1_*.pth, NATS-tss-v1_*.pickle.pbz2 or its -simple folder, or a "
            "CSV file.",
        ),
    ],
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Import the published benchmark file, once for all searches."""
    bodies.benchmark_import.import_table(file, output)


@app.command("query")
def query(
    cell: Annotated[
        str,
        typer.Argument(
            metavar="CELL|FILE|RUN",
            help="A cell as |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, a genotype's file, or an MLflow "
            "run.",
        ),
    ],
    table: Annotated[
        str, typer.Option("--table", metavar="auto|PATH", help="The table; the imported one.")
    ] = "auto",
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Print the accuracies, ranks, regrets and size of a cell."""
    bodies.benchmark_query.query(cell, table, storage, mlflow, output)
