"""The work of `tune-nas sweep`, `search` and `resume`.

The package `tune_nas.sweep` loads its names when they are used: a dry run starts no Ray.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import get_args

from tune_nas import sweep as sweeps
from tune_nas.cli.analysis_summary import print_result
from tune_nas.cli.cost_question import ask_if_long
from tune_nas.cli.ineffective_key_notes import note_ineffective
from tune_nas.cli.option_values import run_options, trial_changes
from tune_nas.cli.output import Format
from tune_nas.cli.plan_summary import print_plan, print_run
from tune_nas.cli.run_names import interruptible, named
from tune_nas.cli.run_summary import print_outcome
from tune_nas.cli.shared_options import ExecutionOptions, PlanOptions, TrialOptions
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.sweep.config import EPOCHS
from tune_nas.sweep.memory_use import memory_use
from tune_nas.sweep.resolve import base_trials, load_sweep
from tune_nas.sweep.retrain_grid import Genotypes
from tune_nas.sweep.run_cost import estimate_runs, trials_to_count
from tune_nas.sweep.runs.lookup import find_run
from tune_nas.text import brief


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a sweep that the command line overrides; None for those of its file.

    Args:
        epochs: Number of epochs of a trial.
        seeds: A number of seeds, or the seeds as ``0,1,5``.
        searcher: ``grid``, ``random``, ``tpe`` or another searcher.
        scheduler: ``asha`` or ``none``.
        trials: Number of sampled trials.
        retrain: ``each``, ``frontier``, ``model-sizes`` or a number.
        seed: Seed of the searcher.
        share: Whether epochs that trials have in common are run once.
        reuse: Whether results of trials that finished in other runs are used.
    """

    epochs: int | None
    seeds: str | None
    searcher: str | None
    scheduler: str | None
    trials: int | None
    retrain: str | None
    seed: int | None
    share: bool | None
    reuse: bool | None

    def changes(self) -> dict[str, object]:
        """Return the given settings as keys of a sweep.

        Raises:
            ConfigError: If seeds or retrain have another form.
        """
        values: dict[str, object] = {
            "epochs": self.epochs,
            "seeds": None if self.seeds is None else parse_seeds(self.seeds),
            "searcher": self.searcher,
            "scheduler": self.scheduler,
            "trials": self.trials,
            "retrain": None if self.retrain is None else _parse_retrain(self.retrain),
            "seed": self.seed,
            "share": self.share,
            "reuse": self.reuse,
        }
        return {key: value for key, value in values.items() if value is not None}


def sweep(
    name: str,
    overrides: TrialOptions,
    execution: ExecutionOptions,
    settings: SweepSettings,
    *,
    run_name: str | None,
    concurrency: int | None,
    together: int | None,
    log_model: bool,
    plan: PlanOptions,
    output: Format,
) -> None:
    """Run a sweep and print its report, or print its trials."""
    assigned = trial_changes(overrides)
    changes = {"set": assigned, **settings.changes()}
    if EPOCHS in assigned:
        changes.pop("epochs", None)
    config = load_sweep(name, **changes)
    bases = base_trials(config)
    if not execution.quiet:
        for of_sweep, base in bases.trials.items():
            note_ineffective(of_sweep, base, {*config.set, *config.parameters})
    run = run_options(execution, concurrency, together, log_model=log_model)
    if plan.only_planned:
        print_plan(config, bases, run, output, timed=plan.estimate)
        return

    def ask() -> None:
        trials = partial(trials_to_count, config, bases)
        cost = partial(sweeps.estimate, config, bases, run)
        ask_if_long("search", trials, cost, execution, yes=plan.yes)

    outcome = named(
        run_name,
        config.name,
        execution.storage,
        lambda chosen: sweeps.run_sweep(config, run, chosen, before_start=ask),
    )
    print_outcome(outcome, output, execution.storage)


def search(
    trial: str,
    overrides: TrialOptions,
    execution: ExecutionOptions,
    *,
    plan: PlanOptions,
    epochs: int | None,
    seed: int | None,
    run_name: str | None,
    output: Format,
) -> None:
    """Run a single search and print its result, or print what would run."""
    changes = trial_changes(overrides)
    changes |= {} if seed is None else {"seed": seed}
    config = load_trial(trial, changes, epochs=epochs)
    if not execution.quiet:
        note_ineffective(trial, config, changes)
    run = run_options(execution)
    if plan.only_planned:
        cost = estimate_runs("search", [config], timed=plan.estimate)
        memory = memory_use("search", [config], at_once=1)
        print_run([config], cost, output, memory=memory)
        return

    def ask() -> None:
        cost = partial(estimate_runs, "search", [config])
        ask_if_long("search", lambda: [config], cost, execution, yes=plan.yes)

    outcome = named(
        run_name,
        config.name,
        execution.storage,
        lambda chosen: sweeps.run_search(config, run, chosen, before_start=ask),
    )
    print_outcome(outcome, output, execution.storage)


def resume(
    name: str | None,
    execution: ExecutionOptions,
    *,
    failed: bool,
    stopped: bool,
    concurrency: int | None,
    together: int | None,
    workers: int | None,
    output: Format,
) -> None:
    """Resume a run and print its report."""
    run = run_options(execution, concurrency, together, workers)
    own = find_run(name, execution.storage).name if name else None
    with interruptible(own, execution.storage):
        outcome = sweeps.resume_sweep(name, run, failed=failed, stopped=stopped)
    print_result(outcome, output, execution.storage)


def parse_seeds(text: str) -> int | list[int]:
    """Return a number of seeds, or the seeds themselves; a comma after a single one marks it.

    Raises:
        ConfigError: If the text is neither.
    """
    try:
        if "," in text:
            return [int(part) for part in text.removesuffix(",").split(",")]
        return int(text)
    except ValueError as error:
        raise ConfigError(
            f"--seeds is '{brief(text)}', but must be a number of seeds, or the seeds as 0,1,5 "
            "(a single one as 5,)"
        ) from error


def _parse_retrain(text: str) -> int | str:
    try:
        return text if text in get_args(Genotypes) else int(text)
    except ValueError as error:
        raise ConfigError(
            f"--retrain is '{brief(text)}', but must be {', '.join(get_args(Genotypes))}, a number "
            "of genotypes, or 0"
        ) from error
