"""`tune-nas list` and `tune-nas show`: everything that is available, and its full content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format


class Kind(StrEnum):
    """The kinds that `tune-nas list` can list."""

    TRIALS = "trials"
    SPACES = "spaces"
    SWEEPS = "sweeps"
    DATA = "data"
    PARTS = "parts"
    RECIPES = "recipes"
    GENOTYPES = "genotypes"
    RUNS = "runs"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """List shipped trials, spaces and sweeps, data, parts, recipes, genotypes, or MLflow's runs.

    `list runs` has a line for every trial in MLflow; `tune-nas runs` has one for each of your runs.
    """
    rows: Sequence[Mapping[str, object]]
    if kind is Kind.RUNS:
        rows = bodies.run_listing.run_rows(mlflow, storage)
    elif kind is Kind.DATA:
        rows = bodies.data_listing.data_set_rows()
    elif kind is Kind.PARTS:
        rows = bodies.listing.part_rows()
    elif kind is Kind.RECIPES:
        rows = bodies.listing.recipe_rows()
    elif kind is Kind.GENOTYPES:
        rows = bodies.genotype_listing.genotype_rows()
    else:
        rows = bodies.listing.shipped_rows(kind.value.removesuffix("s"))
    bodies.listing.print_rows(rows, output, empty=f"no {kind} in {mlflow or storage} yet")


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A trial, a space or a sweep.",
            autocompletion=completion.shipped_of_any_kind,
        ),
    ],
) -> None:
    """Print the resolved YAML of a trial, a space or a sweep: every key with its value.

    The keys of a trial that have no effect follow as comments, each with the reason.
    """
    showing = bodies.showing
    kind = showing.kind_of(name)
    if kind == "trial":
        showing.print_content(showing.trial_content(name), showing.without_effect(name))
    elif kind == "sweep":
        showing.print_content(showing.sweep_content(name))
    else:
        showing.print_content(bodies.space_showing.space_content(name))
