"""The meaning of the shared options: the keys of a trial, the options of a run, the store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from tune_nas.cli.flags import with_flags
from tune_nas.cli.shared_options import ExecutionOptions, TrialOptions
from tune_nas.library import check_key, parse_assignment
from tune_nas.paths import expanded, is_file
from tune_nas.shipped import shipped_names
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_uri


def trial_changes(options: TrialOptions) -> dict[str, object]:
    """Return the dotted keys that the options of a trial set.

    Paths become absolute, since trials run in other folders.

    Raises:
        ConfigError: If a ``--set`` is not KEY=VALUE, or not a key of a trial.
    """
    space = options.space
    if space is not None and space not in shipped_names("space") and is_file(space):
        space = str(Path(space).resolve())
    given = {"data.name": options.data, "space.name": space}
    return {
        **{key: value for key, value in given.items() if value is not None},
        **changes_of(options.data_dir, options.settings),
    }


def changes_of(data_dir: str | None, settings: Sequence[str] | None) -> dict[str, object]:
    """Return the dotted keys that ``--data-dir`` and ``--set`` set.

    Raises:
        ConfigError: If a ``--set`` is not KEY=VALUE, or not a key of a trial.
    """
    changes: dict[str, object] = {}
    if data_dir is not None:
        changes["data.dir"] = str(expanded(data_dir).resolve())
    for text in settings or ():
        key, value = parse_assignment(text)
        check_key(key, "--set")
        changes[key] = value
    return changes


def run_options(
    execution: ExecutionOptions,
    concurrency: int | None = 1,
    together: int | None = None,
    workers: int | None = None,
    log_model: bool | None = None,
) -> RunOptions:
    """Return the options of a run; progress is shown live on a terminal.

    Prints a line on stderr for settings that are allowed but probably not intended.

    Args:
        execution: The options that all runs have.
        concurrency: Maximum number of concurrent trials; None for as many as fit.
        together: Searches per process; None for one.
        workers: Processes of a retraining run; None for ``runtime.workers``.
        log_model: Whether the best retrained network becomes a model in MLflow; None for no.
    """
    options = RunOptions(
        storage=execution.storage,
        mlflow=execution.mlflow,
        address=execution.address,
        concurrency=concurrency,
        cpus_per_trial=execution.cpus_per_trial,
        gpus_per_trial=execution.gpus_per_trial,
        together=together,
        workers=workers,
        log_model=log_model,
        ray=execution.ray,
        quiet=execution.quiet,
        live=sys.stderr.isatty() and not execution.quiet,
    )
    for remark in options.remarks:
        typer.echo(f"tune-nas: note: {with_flags(remark)}", err=True)
    return options


def mlflow_uri(mlflow: str | None, storage: str) -> str:
    """Return the MLflow store: the given one, else ``mlflow.db`` in a local storage.

    Raises:
        StorageError: If none is given and the storage is remote.
    """
    return store_uri(mlflow or "", Storage(storage))
