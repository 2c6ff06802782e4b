"""`tune-nas analyze`: the analyses of a search."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format
from tune_nas.cli.selections import Run


@spread
def analyze(
    run: Run,
    execution: options.ExecutionOptions,
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help="gradient-correlation, gradient-bias, discretization, edge-shuffle, skip-gap, "
            "hessian, strength (with --edge), or module:Class.",
            autocompletion=completion.analysis_kinds,
            show_default="strength",
        ),
    ] = None,
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
    batches: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Batches of each half.",
            show_default="8 for gradients, 1 for hessian, else all images",
        ),
    ] = None,
    data_dir: options.DataDir = None,
    settings: options.Settings = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Analyze a search, e.g. the operations of an edge by α, perturbation and tuned accuracy."""
    bodies.analyzing.analyze(
        run,
        execution,
        kind=kind,
        edges=edge,
        epochs=epochs,
        batches=batches,
        data_dir=data_dir,
        settings=settings,
        run_name=run_name,
        output=output,
    )
