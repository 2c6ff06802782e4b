"""`tune-nas sweep`, `search`, `retrain` and `resume`: the commands that compute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from tune_nas.cli import shared_options as options
from tune_nas.cli.analysis_summary import print_result
from tune_nas.cli.notes import note_ineffective
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format
from tune_nas.cli.run_summary import print_outcome, print_plan
from tune_nas.errors import ConfigError, NameTakenError
from tune_nas.sweep.options import storage_option
from tune_nas.text import brief, printable

if TYPE_CHECKING:
    from tune_nas.sweep.outcome import SweepOutcome

_HOW = "How a sweep is searched"


@spread
def sweep(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A sweep: see `list sweeps`.")],
    of_trial: options.TrialOptions,
    place: options.Place,
    epochs: options.Epochs = None,
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
    together: options.Together = None,
    dry_run: options.DryRun = False,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Run many searches, retrain the winners and compare."""
    from tune_nas.sweep.config import EPOCHS
    from tune_nas.sweep.resolve import base_trials, load_sweep

    assigned = of_trial.changes()
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
    if not place.quiet:
        for of_sweep, base in base_trials(config).trials.items():
            note_ineffective(of_sweep, base, {*config.set, *config.parameters})
    where = place.run_options(concurrency, together)
    if dry_run:
        print_plan(config, where, output)
        return
    from tune_nas.sweep import run_sweep

    outcome = named(
        run_name, config.name, place.storage, lambda name: run_sweep(config, where, name)
    )
    print_outcome(outcome, output, place.storage)


@spread
def search(
    trial: Annotated[str, typer.Argument(metavar="TRIAL|FILE", help="See `list trials`.")],
    of_trial: options.TrialOptions,
    place: options.Place,
    epochs: options.Epochs = None,
    seed: options.Seed = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Run one search, no sweep: same trainable, same tracking."""
    from tune_nas.library import load_trial

    changes = of_trial.changes()
    changes |= {} if seed is None else {"seed": seed}
    config = load_trial(trial, changes, epochs=epochs)
    if not place.quiet:
        note_ineffective(trial, config, changes)
    where = place.run_options()
    from tune_nas.sweep import run_search

    outcome = named(
        run_name, config.name, place.storage, lambda name: run_search(config, where, name)
    )
    print_outcome(outcome, output, place.storage)


@spread
def retrain(
    genotype: Annotated[
        str,
        typer.Argument(
            metavar="GENOTYPE|FILE|RUN",
            help="A genotype as text, a published name, a number of NAS-Bench-201, a file "
            "(FILE:NAME where it has several), or a run.",
        ),
    ],
    of_trial: options.TrialOptions,
    place: options.Place,
    trial: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Trial whose data and retrain section to use; a run has its own.",
        ),
    ] = None,
    epochs: options.RetrainEpochs = None,
    seed: options.Seed = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Train one genotype from scratch."""
    from tune_nas.cli.genotypes import (
        check_space_is_known,
        find_genotype,
        fit_to_space,
        run_of,
        trial_of,
    )
    from tune_nas.config.effects import check_read
    from tune_nas.library import load_trial, with_overrides, with_settings
    from tune_nas.spaces import load_space

    found = find_genotype(genotype, place.storage, place.mlflow)
    changes = of_trial.changes()
    check_read(changes, "retraining")
    if epochs is not None:
        changes = {"retrain.epochs": epochs, **changes}
    if seed is not None:
        changes["seed"] = seed
    own = trial_of(found, place.storage, place.mlflow) if trial is None else None
    if own is not None:
        of_run = f"the trial of run '{genotype}'"
        config = with_settings(
            lambda settings: with_overrides(own, settings, of_run), changes, of_run
        )
    else:
        config = load_trial(trial or "darts-1st", {"space.name": found.genotype.space, **changes})
        if config.space.name == found.genotype.space:
            check_space_is_known(config.space.name)
    trained = found.genotype
    if own is None:
        trained = fit_to_space(found, load_space(config.space.name))
    where = place.run_options()
    parent = run_of(found, place.storage, place.mlflow)
    from tune_nas.sweep import run_retrain

    outcome = named(
        run_name,
        f"retrain-{found.name}",
        place.storage,
        lambda name: run_retrain(config, trained.to_yaml(), where, name, parent_run=parent),
    )
    print_outcome(outcome, output, place.storage)


@spread
def resume(
    context: typer.Context,
    place: options.Place,
    name: Annotated[
        str | None, typer.Argument(help="The latest unfinished one, if not named.")
    ] = None,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Try failed trials again, also of a finished sweep."),
    ] = False,
    concurrency: options.Concurrency = None,
    together: options.Together = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Resume a sweep, search, retraining run or analysis after a crash or Ctrl-C, as started."""
    # Its runs are in its own store, whatever the current value of MLFLOW_TRACKING_URI.
    source = context.get_parameter_source("mlflow")
    if source is None or source.name != "COMMANDLINE":
        place = replace(place, mlflow=None)
    where = place.run_options(concurrency, together)
    from tune_nas.sweep import resume_sweep

    with interruptible(name, place.storage):
        outcome = resume_sweep(name, where, failed=failed)
    print_result(outcome, output, place.storage)


def named(
    name: str | None, usual: str, storage: str, run: Callable[[str], SweepOutcome]
) -> SweepOutcome:
    """Run under a name; if none is given, under a free one, even if other runs start meanwhile.

    Args:
        name: The name; None for the usual one, with a number if that is taken.
        usual: The usual name.
        storage: Storage of the run.
        run: Function that runs under a given name.

    Raises:
        NameTakenError: If the given name is taken.
    """
    while True:
        chosen = name or free_name(usual, storage)
        try:
            with interruptible(chosen, storage):
                return run(chosen)
        except NameTakenError:
            if name is not None:
                raise


def free_name(name: str, storage: str) -> str:
    """Return the name, or the first free one of name-2, name-3, … in the storage."""
    from tune_nas.sweep.runs.storage import Storage

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
            f"--seeds is '{brief(text)}', but must be a number of seeds, or the seeds as 0,1,5"
        ) from error


def _parse_retrain(text: str) -> int | str:
    try:
        return text if text == "each" else int(text)
    except ValueError as error:
        raise ConfigError(
            f"--retrain is '{brief(text)}', but must be each, a number of genotypes, or 0"
        ) from error


def _is_there(name: str | None, storage: str) -> bool:
    """Return whether a run of this name exists; without a name, resume has found one."""
    from tune_nas.sweep.runs.lookup import find_run

    return name is None or find_run(name, storage).state is not None


@contextmanager
def interruptible(name: str | None, storage: str) -> Iterator[None]:
    """Turn Ctrl-C into one line that says how to resume, and status 130."""
    try:
        yield
    except KeyboardInterrupt:
        command = f"tune-nas resume{f' {name}' if name else ''}{storage_option(storage)}"
        hint = f"go on with: {command}" if _is_there(name, storage) else "nothing was written"
        print(printable(f"tune-nas: interrupted; {hint}"), file=sys.stderr)
        raise typer.Exit(130) from None
