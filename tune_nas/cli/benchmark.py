"""`tune-nas benchmark`: the true accuracies of the NAS-Bench-201 space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format, echo, print_json, print_table
from tune_nas.errors import ConfigError

if TYPE_CHECKING:
    from tune_nas.benchmark import BenchmarkTable
    from tune_nas.spaces import Genotype

app = typer.Typer(help="The true accuracies of the NAS-Bench-201 space.", no_args_is_help=True)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="NAS-Bench-201-v1_*.pth, NATS-tss-v1_*.pickle.pbz2 or its -simple folder, or a "
            "CSV of ours.",
        ),
    ],
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Read the published file once, and write the table to where every search finds it."""
    from tune_nas.benchmark import import_benchmark

    table, target = import_benchmark(file)
    if output is Format.JSON:
        print_json({"cells": len(table.rows), "table": target})
    else:
        echo(f"{len(table.rows):,} cells, in {target}")


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
    """Print what the benchmark knows of a cell: accuracies, ranks, regrets, size."""
    from tune_nas.benchmark import ACCURACIES, SPACE, find_table, load_benchmark, user_table
    from tune_nas.cli.genotypes import find_genotype
    from tune_nas.spaces import load_space

    genotype = find_genotype(cell, storage, mlflow).genotype
    if genotype.space != SPACE:
        raise ConfigError(f"the benchmark knows cells of space '{SPACE}', not '{genotype.space}'")
    genotype.check(load_space(SPACE))
    path = find_table(table)
    if path is None:
        raise ConfigError(
            f"there is no table at {user_table()}; write it with tune-nas benchmark import FILE"
        )
    facts = _facts(load_benchmark(path), genotype, ACCURACIES)
    if output is Format.JSON:
        print_json(facts)
        return
    rows = [
        {
            "": name.replace("_", " "),
            "accuracy": f"{found['accuracy']:.2f} %",
            "rank": f"{found['rank']:,}",
            "regret": f"{found['regret']:.2f}",
        }
        for name, found in facts["accuracies"].items()
    ]
    print_table(list(rows[0]), rows)
    echo(f"{facts['cell']}\nof {facts['cells']:,} cells; {facts['parameters']:,} parameters")


def _facts(table: BenchmarkTable, genotype: Genotype, names: tuple[str, ...]) -> dict[str, Any]:
    from tune_nas.benchmark import SPACE
    from tune_nas.spaces import load_space, model_size

    cell = genotype.to_nasbench201()
    accuracies = table.query(cell)
    size = model_size(genotype, load_space(SPACE), image_size=32, n_classes=10)
    return {
        "cell": cell,
        "cells": len(table.rows),
        "accuracies": {
            name: {
                "accuracy": round(accuracies[name], 4),
                "rank": table.rank(cell, name),
                "regret": round(table.regret(cell, name), 4),
            }
            for name in names
        },
        "parameters": size.parameters,
        "multiply_adds": size.multiply_adds,
    }
