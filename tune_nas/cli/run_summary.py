"""Output on stdout for a finished or planned run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format, echo, print_json, print_rich, print_table
from tune_nas.sweep.options import storage_option
from tune_nas.text import printable

if TYPE_CHECKING:
    from tune_nas.sweep import RunOptions, SweepOutcome
    from tune_nas.sweep.config import SweepConfig


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
                "mlflow": outcome.mlflow_uri,
                "failed": outcome.n_failed,
                "untracked": [*outcome.untracked, *outcome.remarks],
            }
        )
    else:
        print_rich(outcome.report.table())
        for line in (outcome.report.sentence(), *outcome.report.notes()):
            echo(line)
        if outcome.best_genotype_path is not None:
            echo(f"best genotype: {_from_here(outcome.best_genotype_path)}")
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
    usual = "://" not in storage and uri == options.mlflow_uri(None, storage)
    return f"tune-nas ui{storage_option(storage) if usual else f' --mlflow {uri}'}"


def print_plan(sweep: SweepConfig, where: RunOptions, output: Format) -> None:
    """Print the trials that a sweep would run, and their estimated cost."""
    from tune_nas.config import check_data_keys
    from tune_nas.sweep import estimate
    from tune_nas.sweep.distinct import check_distinct
    from tune_nas.sweep.preflight import data_sections
    from tune_nas.sweep.resolve import base_trials, resolve_points

    trials, points = resolve_points(sweep, base_trials(sweep))
    check_data_keys(data_sections(sweep, [trial for _, _, trial in trials]))
    cost: Any = estimate(sweep, options=where)
    check_distinct(sweep, points)
    if output is Format.JSON:
        print_json(
            {
                "sweep": sweep.to_dict(),
                "trials": [
                    {"parameters": parameters, "seed": seed, "trial": trial.to_dict()}
                    for parameters, seed, trial in trials
                ],
                "estimate": cost,
            }
        )
        return
    rows = [{**parameters, "seed": seed} for parameters, seed, _ in trials]
    print_table(list(dict.fromkeys(key for row in rows for key in row)), rows)
    echo(str(cost))
