"""`tune-nas analyze`: the strength of the operations on edges of a finished search."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies
from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format
from tune_nas.cli.selections import Run


@spread
def analyze(
    run: Run,
    execution: options.ExecutionOptions,
    edge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CELL:EDGE", help="An edge, e.g. 'normal:0->2' in quotes; repeatable."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of tuning for each operation, until it converges.",
            show_default="5",
        ),
    ] = None,
    data_dir: options.DataDir = None,
    settings: options.Settings = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Compare the operations of an edge by α, perturbation and accuracy at convergence."""
    bodies.analyzing.analyze(
        run,
        execution,
        edges=edge,
        epochs=epochs,
        data_dir=data_dir,
        settings=settings,
        run_name=run_name,
        output=output,
    )
