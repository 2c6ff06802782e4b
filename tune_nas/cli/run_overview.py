"""`tune-nas runs`, `status` and `stop`: the runs of a storage and their progress."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format


def runs(
    storage: options.Storage = "runs",
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS",
            help="Only running, lost, interrupted, finished, untracked or damaged runs.",
        ),
    ] = None,
    sort: Annotated[
        str, typer.Option(metavar="KEY", help="By age, name, status, best or size.")
    ] = "age",
    sweep: Annotated[
        str | None, typer.Option(metavar="RUN", help="List the trials of this run instead.")
    ] = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """List your runs, one line each: progress, best value, age and size.

    A run is lost if its driver has died, and interrupted after Ctrl-C or `tune-nas stop`; resume
    either. `tune-nas list runs` lists every trial in MLflow.
    """
    if sweep is not None:
        bodies.run_status.print_trials(sweep, storage, status=status, output=output)
    else:
        bodies.run_table.print_runs(storage, status=status, sort=sort, output=output)


def status(
    run: options.RunName,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh until the run ends, or Ctrl-C.")
    ] = False,
    storage: options.Storage = "runs",
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Print the progress of a run and of its trials, also from another terminal."""
    if watch and output is Format.TABLE:
        bodies.run_status.watch(run, storage)
    else:
        bodies.run_status.print_status(run, storage, output)


def stop(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A running run, by its name.",
            autocompletion=completion.run_names,
        ),
    ],
    trial: Annotated[
        str | None, typer.Argument(metavar="[TRIAL]", help="Only this trial, e.g. search-00003.")
    ] = None,
    storage: options.Storage = "runs",
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Stop a run as Ctrl-C does, from another terminal or machine; resume it later.

    A trial ends as stopped early, after its next epoch; `tune-nas resume RUN --stopped` continues
    it.
    """
    bodies.run_stopping.stop(run, trial, storage, output)
