"""`tune-nas ui`: the MLflow UI on this project's store."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies
from tune_nas.cli import shared_options as options


def ui(
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port.")] = 5000,
) -> None:
    """Open the MLflow UI on the runs; Ctrl-C ends it."""
    bodies.ui_server.serve(mlflow, storage, port)
