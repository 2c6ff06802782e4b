"""`tune-nas report`: the report of a run, in any format."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options


def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run in the storage, by its name.",
            autocompletion=completion.run_names,
        ),
    ],
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME|module:Class", help="terminal, markdown, json, or your own."
        ),
    ] = "terminal",
    storage: options.Storage = "runs",
) -> None:
    """Print the report of a sweep, search or retraining run; it need not be finished."""
    bodies.reporting.report(run, storage, format_)
