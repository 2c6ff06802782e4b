"""`tune-nas ui`: the MLflow UI on this project's store."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies
from tune_nas.cli import shared_options as options


def ui(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A sweep or run, whose view is prepared; by default, the latest."
        ),
    ] = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port.")] = 5000,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Serve the MLflow UI on the runs, with a prepared view of a sweep; Ctrl-C ends it."""
    bodies.ui_server.serve(mlflow, storage, port, name, open_page=open_page)
