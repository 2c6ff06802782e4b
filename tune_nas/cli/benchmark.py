"""`tune-nas benchmark`: the true accuracies of the NAS-Bench-201 space, simulated searches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format, TableFormat

app = typer.Typer(
    help="The NAS-Bench-201 space: true accuracies, and simulated searches.", no_args_is_help=True
)


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
            autocompletion=completion.run_names,
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


@app.command("simulate")
def simulate(
    trials: Annotated[
        list[str],
        typer.Argument(
            metavar="TRIAL…",
            help="Trials with a strategy: shipped names, or YAML files.",
            autocompletion=completion.trial_names,
        ),
    ],
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Searches of each trial.")] = 100,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="EPOCHS,…",
            help="Training epochs at which searches are compared; they end at the last.",
            show_default="strategy.budget",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Candidates that are trained at a time.")
    ] = 4,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Data set of the searches: cifar10, cifar100 or imagenet16-120.",
            show_default="the trial's, or cifar10",
        ),
    ] = None,
    settings: options.Settings = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=A,B,…",
            help="Simulate each trial with each of these values; repeatable.",
        ),
    ] = None,
    table: Annotated[
        str, typer.Option("--table", metavar="auto|PATH", help="The table; the imported one.")
    ] = "auto",
    processes: Annotated[
        int, typer.Option("--processes", min=1, max=1024, help="Number of processes.")
    ] = 2,
    save: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE.jsonl",
            help="Keep each finished search there; those that it has are not simulated again.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.svg|png", help="Draw the regret by budget."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    output: Annotated[TableFormat, typer.Option("--format", help="Output format.")] = (
        TableFormat.TABLE
    ),
) -> None:
    """Simulate black-box searches, with accuracies and training times from the table."""
    bodies.benchmark_simulation.simulate(
        bodies.benchmark_simulation.Comparison(
            trials, seeds, budget, workers, data, settings or [], vary or []
        ),
        table,
        processes=processes,
        save=save,
        plot=plot,
        quiet=quiet,
        output=output,
    )
