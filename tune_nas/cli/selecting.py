"""The work of `tune-nas select`."""

from __future__ import annotations

from tune_nas import sweep as sweeps
from tune_nas.cli.option_values import changes_of, run_options
from tune_nas.cli.output import Format
from tune_nas.cli.run_names import named
from tune_nas.cli.run_summary import print_outcome
from tune_nas.cli.shared_options import ExecutionOptions
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides, with_settings
from tune_nas.sweep.runs.origin import find_origin
from tune_nas.sweep.runs.store_uri import existing_store


def select(
    run: str,
    selection: str,
    execution: ExecutionOptions,
    *,
    data_dir: str | None,
    settings: list[str] | None,
    run_name: str | None,
    output: Format,
) -> None:
    """Select another genotype from a finished search and print the result."""
    given = changes_of(data_dir, settings)
    if not given.keys().isdisjoint(("selection", "selection.kind")):
        raise ConfigError("--set has selection.kind, but --selection says which; leave it out")
    store = existing_store(execution.storage, execution.mlflow)
    origin = find_origin(run, execution.storage, store)
    own = origin.trial.selection.to_dict()
    others = {} if selection == "magnitude" else {"max_skips": {}, "rank_by": "weights"}
    changes = {
        "start_from": origin.checkpoint,
        "selection": {**own, "kind": selection, "options": {}, **others},
    }
    of_run = f"the trial of '{run}'"
    trial = with_settings(
        lambda values: with_overrides(origin.trial, {**changes, **values}, of_run),
        given,
        of_run,
    )
    options = run_options(execution)
    outcome = named(
        run_name,
        f"{trial.name}-{selection.rpartition(':')[2]}",
        execution.storage,
        lambda name: sweeps.run_search(trial, options, name),
    )
    print_outcome(outcome, output, execution.storage)
