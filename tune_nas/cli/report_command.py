"""`tune-nas report` and `tune-nas compare`: reports of stored runs, in any format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options

_Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME|module:Class",
        help="terminal, markdown, json, html, or your own.",
        show_default="by the file's name, else terminal",
    ),
]
_Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a file: .html for a page with plots, .md or .json. An earlier page is "
        "replaced, any other file is not.",
        show_default="stdout",
    ),
]
_Baseline = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="KEY=VALUE",
        help="Compare all others with this value of a swept key, e.g. trial=rsps; repeatable, one "
        "for each swept key.",
        show_default="the baseline of the sweep",
    ),
]


def report(
    run: options.RunName,
    baseline: _Baseline = None,
    format_: _Format = None,
    output: _Output = None,
    storage: options.Storage = "runs",
) -> None:
    """Print or write the report of a sweep, search or retraining run; it need not be finished."""
    bodies.reporting.report(run, storage, format_, output, baseline)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Runs in the storage, by name.",
            autocompletion=completion.run_names,
        ),
    ],
    format_: _Format = None,
    output: _Output = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Metric to rank by.", show_default="the metric of the runs"),
    ] = None,
    storage: options.Storage = "runs",
) -> None:
    """Compare several runs in one report: their rows, and the settings that differ."""
    bodies.reporting.compare(runs, storage, format_, output, metric)
