"""The work of `tune-nas retrain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune_nas import sweep as sweeps
from tune_nas.cli.cost_question import ask_if_long
from tune_nas.cli.genotype_reference import find_genotype
from tune_nas.cli.genotype_runs import run_of, trial_of
from tune_nas.cli.genotype_spaces import check_space_is_known, fit_to_space
from tune_nas.cli.option_values import run_options, trial_changes
from tune_nas.cli.output import Format
from tune_nas.cli.plan_summary import print_run
from tune_nas.cli.run_names import named
from tune_nas.cli.run_summary import print_outcome
from tune_nas.cli.shared_options import ExecutionOptions, PlanOptions, TrialOptions
from tune_nas.config import TrialConfig
from tune_nas.config.data_config import other_data
from tune_nas.config.effects import check_read
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, validate, with_overrides, with_settings
from tune_nas.spaces import load_space
from tune_nas.sweep.retrain_grid import RetrainGrid
from tune_nas.sweep.retrain_trials import keys_of_section
from tune_nas.sweep.run_cost import estimate_runs, retrain_runs
from tune_nas.sweep.runner import retrain_sweep


def retrain(
    genotype: str,
    overrides: TrialOptions,
    execution: ExecutionOptions,
    *,
    trial: str | None,
    epochs: int | None,
    recipes: Sequence[str],
    seed: int | None,
    seeds: int | None,
    run_name: str | None,
    log_model: bool,
    plan: PlanOptions,
    output: Format,
) -> None:
    """Train one genotype from scratch, with each recipe and seed, or print what would run."""
    found = find_genotype(genotype, execution.storage, execution.mlflow)
    changes = trial_changes(overrides)
    check_read(changes, "retraining")
    if epochs is not None:
        changes = {"retrain.epochs": epochs, **changes}
    if seed is not None:
        changes["seed"] = seed
    grid = _grid(recipes, seeds, changes)
    if recipes:
        of_recipes = dict(keys_of_section(changes))
        changes = {key: value for key, value in changes.items() if key not in of_recipes}
        changes.pop("retrain", None)
    own = trial_of(found, execution.storage, execution.mlflow) if trial is None else None
    if own is not None:
        of_run = f"the trial of run '{genotype}'"
        resets = other_data(own.data, str(changes.get("data.name", own.data.name)))
        config = with_settings(
            lambda settings: with_overrides(own, {**resets, **settings}, of_run), changes, of_run
        )
    else:
        config = load_trial(trial or "darts-1st", {"space.name": found.genotype.space, **changes})
        if config.space.name == found.genotype.space:
            check_space_is_known(config.space.name)
    trained = found.genotype
    if own is None:
        trained = fit_to_space(found, load_space(config.space.name))
    run = run_options(execution, log_model=log_model)
    text = trained.to_yaml()

    def trials() -> list[TrialConfig]:
        return retrain_runs(retrain_sweep(config, grid), config)

    if plan.only_planned:
        planned = trials()
        cost = estimate_runs("retrain", planned, text, timed=plan.estimate)
        print_run(planned, cost, output, genotype=text)
        return

    def ask() -> None:
        ask_if_long(
            "retrain",
            trials,
            lambda: estimate_runs("retrain", trials(), text),
            execution,
            yes=plan.yes,
        )

    parent = run_of(found, execution.storage, execution.mlflow)
    outcome = named(
        run_name,
        f"retrain-{found.name}",
        execution.storage,
        lambda name: sweeps.run_retrain(
            config, text, run, name, parent_run=parent, grid=grid, before_start=ask
        ),
    )
    print_outcome(outcome, output, execution.storage)


def _grid(
    recipes: Sequence[str], seeds: int | None, changes: Mapping[str, object]
) -> RetrainGrid | None:
    """Return the runs with each recipe, in which other keys are changed, and with each seed.

    Raises:
        ConfigError: If a recipe is given twice, or by ``--set`` too.
    """
    if not recipes and seeds is None:
        return None
    keys = {key.removeprefix("retrain."): value for key, value in keys_of_section(changes)}
    if recipes and "recipe" in keys:
        raise ConfigError("--recipe and --set retrain.recipe say the same; give one")
    entries = [{"name": recipe, "recipe": recipe, **keys} for recipe in recipes]
    validate(RetrainGrid, {"seeds": seeds}, "--seeds")
    return validate(RetrainGrid, {"recipes": entries, "seeds": seeds}, "--recipe")
