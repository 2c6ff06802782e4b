"""`tune-nas select`: another selection from the supernet of a finished search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format
from tune_nas.cli.run_summary import print_outcome
from tune_nas.cli.runs import named
from tune_nas.errors import ConfigError

if TYPE_CHECKING:
    from tune_nas.sweep.runs.origin import Origin

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A finished search: its name, NAME/TRIAL, an MLflow run, or a checkpoint's folder.",
    ),
]


@spread
def select(
    run: Run,
    selection: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="perturbation, magnitude, sampled, greedy, or module:Class."
        ),
    ],
    place: options.Place,
    data_dir: options.DataDir = None,
    settings: options.Settings = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Select another genotype from a finished search, as a separate run."""
    from tune_nas.library import with_overrides, with_settings

    given = options.changes_of(data_dir, settings)
    if not given.keys().isdisjoint(("selection", "selection.kind")):
        raise ConfigError("--set has selection.kind, but --selection says which; leave it out")
    origin = _origin(run, place.storage, place.mlflow)
    own = origin.trial.selection.to_dict()
    others = {} if selection == "magnitude" else {"max_skips": {}, "rank_by": "weights"}
    changes = {
        "start_from": origin.checkpoint,
        "selection": {**own, "kind": selection, "options": {}, **others},
    }
    of_run = f"the trial of '{run}'"
    trial = with_settings(
        lambda settings: with_overrides(origin.trial, {**changes, **settings}, of_run),
        given,
        of_run,
    )
    where = place.run_options()
    short = selection.rpartition(":")[2]
    from tune_nas.sweep import run_search

    outcome = named(
        run_name,
        f"{trial.name}-{short}",
        place.storage,
        lambda name: run_search(trial, where, name),
    )
    print_outcome(outcome, output, place.storage)


def _origin(run: str, storage: str, mlflow: str | None) -> Origin:
    from tune_nas.sweep.runs.origin import find_origin
    from tune_nas.sweep.runs.storage import Storage

    local = mlflow is not None or Storage(storage).local is not None
    uri = options.mlflow_uri(mlflow, storage) if local else None
    return find_origin(run, storage, uri if uri is not None and options.exists(uri) else None)
