"""`tune-nas select`: another selection from the supernet of a finished search."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A finished search: its name, NAME/TRIAL, an MLflow run, or a checkpoint's folder.",
        autocompletion=completion.run_names,
    ),
]


@spread
def select(
    run: Run,
    selection: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="perturbation, magnitude, sampled, greedy, or module:Class."
        ),
    ],
    execution: options.ExecutionOptions,
    data_dir: options.DataDir = None,
    settings: options.Settings = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Select another genotype from a finished search, as a separate run."""
    bodies.selecting.select(
        run,
        selection,
        execution,
        data_dir=data_dir,
        settings=settings,
        run_name=run_name,
        output=output,
    )
