"""`tune-nas extend`: further seeds, values or sampled trials of a sweep."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format

_MORE = "Extension"


@spread
def extend(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A sweep in the storage, by its name.",
            autocompletion=completion.run_names,
        ),
    ],
    execution: options.ExecutionOptions,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|LIST",
            help="The new number of seeds, or all seeds as 0,1,5.",
            rich_help_panel=_MORE,
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="Values to add to a swept key, e.g. update.lambda=3,30; repeatable.",
            rich_help_panel=_MORE,
        ),
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(
            metavar="N|+N",
            help="The new number of configurations that tpe or random samples, or how many more.",
            rich_help_panel=_MORE,
        ),
    ] = None,
    concurrency: options.Concurrency = None,
    together: options.Together = None,
    workers: options.Workers = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the searches that are missing; run none.")
    ] = False,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Add seeds, values or trials to a sweep; only missing trials run, and one report has all."""
    bodies.extending.extend(
        run,
        options.in_own_store(execution, context),
        seeds=seeds,
        values=values or [],
        trials=trials,
        concurrency=concurrency,
        together=together,
        workers=workers,
        dry_run=dry_run,
        output=output,
    )
