"""Output on stdout for a finished run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tune_nas.cli.option_values import mlflow_uri
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.tables import print_rich
from tune_nas.sweep.options import storage_option
from tune_nas.text import printable

if TYPE_CHECKING:
    from tune_nas.sweep import SweepOutcome


def print_outcome(outcome: SweepOutcome, output: Format, storage: str) -> None:
    """Print the report of a run, and to stderr what MLflow lacks of it.

    Raises:
        typer.Exit: With status 1, if a trial failed, or MLflow lacks something.
    """
    if output is Format.JSON:
        print_json(
            {
                **outcome.report.to_dict(),
                "folder": outcome.folder,
                "best_genotype_path": outcome.best_genotype_path,
                "candidates": outcome.candidates,
                "page": outcome.page,
                "mlflow": outcome.mlflow_uri,
                "failed": outcome.n_failed,
                "untracked": [*outcome.untracked, *outcome.remarks],
            }
        )
    else:
        for table in outcome.report.tables():
            print_rich(table)
        for line in outcome.report.lines():
            echo(line)
        if outcome.best_genotype_path is not None:
            echo(f"best genotype: {_from_here(outcome.best_genotype_path)}")
        if outcome.candidates is not None:
            echo(f"candidates:    {_from_here(outcome.candidates)}")
        if outcome.page is not None:
            echo(f"report:        {_from_here(outcome.page)}")
        echo(f"all runs:      {_ui_command(outcome.mlflow_uri, storage)}")
    tell_missing(outcome, storage)


def tell_missing(outcome: SweepOutcome, storage: str) -> None:
    """Print to stderr what MLflow lacks of a run.

    Raises:
        typer.Exit: With status 1, if a trial failed, or MLflow lacks something.
    """
    resume = f"tune-nas resume {outcome.report.sweep}{storage_option(storage)}"
    for line in outcome.untracked:
        print(f"tune-nas: {printable(line)}; send it with: {resume}", file=sys.stderr)
    for line in outcome.remarks:
        print(f"tune-nas: not tracked: {printable(line)}", file=sys.stderr)
    if outcome.n_failed or outcome.untracked or outcome.remarks:
        raise typer.Exit(1)


def _from_here(path: str) -> str:
    """Return a path as typed in the current folder: relative, if it is below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _ui_command(uri: str, storage: str) -> str:
    usual = "://" not in storage and uri == mlflow_uri(None, storage)
    return f"tune-nas ui{storage_option(storage) if usual else f' --mlflow {uri}'}"
