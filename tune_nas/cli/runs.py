"""`tune-nas sweep`, `search`, `retrain` and `resume`: the commands that compute."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tune_nas.cli import options
from tune_nas.cli.outcome import print_outcome, print_plan
from tune_nas.cli.output import Format
from tune_nas.errors import ConfigError
from tune_nas.sweep.options import storage_option

if TYPE_CHECKING:
    from tune_nas.sweep import RunOptions

_HOW = "How a sweep is searched"


def sweep(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A sweep: see `list sweeps`.")],
    data: options.Data = None,
    data_dir: options.DataDir = None,
    space: options.Space = None,
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|LIST",
            help="Number of seeds, or the seeds themselves as 0,1,5.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    searcher: Annotated[
        str | None, typer.Option(metavar="tpe|random|grid", rich_help_panel=_HOW)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="asha|none", help="Early stopping.", rich_help_panel=_HOW)
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials that tpe or random draw.", rich_help_panel=_HOW)
    ] = None,
    retrain: Annotated[
        str | None,
        typer.Option(
            metavar="each|TOP_K|0",
            help="Retrain the best genotype of each value, the K best, or none.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    seed: options.Seed = None,
    run_name: options.Name = None,
    concurrency: options.Concurrency = None,
    cpus_per_trial: options.CpusPerTrial = None,
    gpus_per_trial: options.GpusPerTrial = None,
    address: options.Address = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    quiet: options.Quiet = False,
    dry_run: options.DryRun = False,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Run many searches, retrain the winners and compare."""
    from tune_nas.sweep.config import EPOCHS
    from tune_nas.sweep.resolve import load_sweep

    assigned = options.trial_settings(settings, data=data, data_dir=data_dir, space=space)
    changes = {
        "set": assigned,
        "epochs": None if EPOCHS in assigned else epochs,
        "seeds": None if seeds is None else _parse_seeds(seeds),
        "searcher": searcher,
        "scheduler": scheduler,
        "trials": trials,
        "retrain": None if retrain is None else _parse_retrain(retrain),
        "seed": seed,
    }
    config = load_sweep(name, **{key: value for key, value in changes.items() if value is not None})
    where = run_options(
        storage, mlflow, address, concurrency, cpus_per_trial, gpus_per_trial, quiet
    )
    if dry_run:
        print_plan(config, where, output)
        return
    run_name = run_name or free_name(config.name, storage)
    from tune_nas.sweep import run_sweep

    with interruptible(run_name, storage):
        outcome = run_sweep(config, where, run_name)
    print_outcome(outcome, output, storage)


def search(
    trial: Annotated[str, typer.Argument(metavar="TRIAL|FILE", help="See `list trials`.")],
    data: options.Data = None,
    data_dir: options.DataDir = None,
    space: options.Space = None,
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    run_name: options.Name = None,
    cpus_per_trial: options.CpusPerTrial = None,
    gpus_per_trial: options.GpusPerTrial = None,
    address: options.Address = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    quiet: options.Quiet = False,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Run one search, no sweep: same trainable, same tracking."""
    from tune_nas.library import load_trial

    changes = options.trial_settings(settings, data=data, data_dir=data_dir, space=space)
    changes |= {} if seed is None else {"seed": seed}
    config = load_trial(trial, changes, epochs=epochs)
    where = run_options(storage, mlflow, address, 1, cpus_per_trial, gpus_per_trial, quiet)
    run_name = run_name or free_name(config.name, storage)
    from tune_nas.sweep import run_search

    with interruptible(run_name, storage):
        outcome = run_search(config, where, run_name)
    print_outcome(outcome, output, storage)


def retrain(
    genotype: Annotated[
        str,
        typer.Argument(
            metavar="GENOTYPE|RUN", help="A genotype as text, its file, or an MLflow run."
        ),
    ],
    trial: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Trial whose data and retrain section to use; a run has its own.",
        ),
    ] = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    space: options.Space = None,
    epochs: options.RetrainEpochs = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    run_name: options.Name = None,
    cpus_per_trial: options.CpusPerTrial = None,
    gpus_per_trial: options.GpusPerTrial = None,
    address: options.Address = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    quiet: options.Quiet = False,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Train one genotype from scratch."""
    from tune_nas.cli.genotypes import find_genotype
    from tune_nas.library import load_trial, with_overrides

    found = find_genotype(genotype, storage, mlflow)
    changes = options.trial_settings(
        settings,
        data=data,
        data_dir=data_dir,
        space=space,
        retrain_epochs=epochs,
    )
    if seed is not None:
        changes["seed"] = seed
    if trial is None and found.trial is not None:
        config = with_overrides(found.trial, changes, where=f"the trial of run '{genotype}'")
    else:
        config = load_trial(trial or "darts-1st", {"space.name": found.genotype.space, **changes})
    where = run_options(storage, mlflow, address, 1, cpus_per_trial, gpus_per_trial, quiet)
    run_name = run_name or free_name(f"retrain-{found.name}", storage)
    from tune_nas.sweep import run_retrain

    with interruptible(run_name, storage):
        outcome = run_retrain(
            config, found.genotype.to_yaml(), where, run_name, parent_run=found.run_id
        )
    print_outcome(outcome, output, storage)


def resume(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="The latest unfinished one, if not named.")
    ] = None,
    concurrency: options.Concurrency = None,
    cpus_per_trial: options.CpusPerTrial = None,
    gpus_per_trial: options.GpusPerTrial = None,
    address: options.Address = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    quiet: options.Quiet = False,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Go on with a sweep, search or retrain after a crash or a Ctrl-C, as it was started."""
    # Its runs are in its own store, whatever MLFLOW_TRACKING_URI says by now.
    source = context.get_parameter_source("mlflow")
    mlflow = mlflow if source is not None and source.name == "COMMANDLINE" else None
    where = run_options(
        storage, mlflow, address, concurrency, cpus_per_trial, gpus_per_trial, quiet
    )
    from tune_nas.sweep import resume_sweep

    with interruptible(name, storage):
        outcome = resume_sweep(name, where)
    print_outcome(outcome, output, storage)


def run_options(
    storage: str,
    mlflow: str | None,
    address: str | None,
    concurrency: int | None,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
    quiet: bool,
) -> RunOptions:
    """Return where and how a run runs; it is shown live on a terminal."""
    from tune_nas.sweep import RunOptions

    return RunOptions(
        storage=storage,
        mlflow=mlflow,
        address=address,
        concurrency=concurrency,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        quiet=quiet,
        live=sys.stderr.isatty() and not quiet,
    )


def free_name(name: str, storage: str) -> str:
    """Return the name, or the first of name-2, name-3, … that the storage does not have."""
    from tune_nas.sweep.storage import Storage

    taken = set(Storage(storage).names())
    return next(
        candidate
        for candidate in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        if candidate not in taken
    )


def _parse_seeds(text: str) -> int | list[int]:
    try:
        return [int(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError as error:
        raise ConfigError(
            f"--seeds is '{text}', but must be a number of seeds, or the seeds as 0,1,5"
        ) from error


def _parse_retrain(text: str) -> int | str:
    if text != "each" and not text.isdecimal():
        raise ConfigError(f"--retrain is '{text}', but must be each, a number of genotypes, or 0")
    return text if text == "each" else int(text)


def _is_there(name: str | None, storage: str) -> bool:
    """Return whether there is a run of this name; without one, a resume had found it."""
    from tune_nas.sweep.plan import read_state
    from tune_nas.sweep.storage import Storage

    return name is None or read_state(Storage(storage).within(name)) is not None


@contextmanager
def interruptible(name: str | None, storage: str) -> Iterator[None]:
    """Turn Ctrl-C into one line that says how to go on, and status 130."""
    try:
        yield
    except KeyboardInterrupt:
        command = f"tune-nas resume{f' {name}' if name else ''}{storage_option(storage)}"
        hint = f"go on with: {command}" if _is_there(name, storage) else "nothing was written"
        print(f"tune-nas: interrupted; {hint}", file=sys.stderr)
        raise typer.Exit(130) from None
