"""`tune-nas sweep`, `search`, `retrain` and `resume`: the options of the commands that compute."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.option_groups import spread
from tune_nas.cli.output import Format

_HOW = "Sweep"


@spread
def sweep(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A sweep: see `list sweeps`.",
            autocompletion=completion.sweep_names,
        ),
    ],
    overrides: options.TrialOptions,
    execution: options.ExecutionOptions,
    plan: options.PlanOptions,
    epochs: options.Epochs = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|LIST",
            help="Number of seeds, or the seeds themselves as 0,1,5 (a single one as 5,).",
            rich_help_panel=_HOW,
        ),
    ] = None,
    searcher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="grid, random, tpe, gp, cmaes, nsga2 or module:Class.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="asha|none", help="Early stopping.", rich_help_panel=_HOW)
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Number of sampled configurations.", rich_help_panel=_HOW),
    ] = None,
    retrain: Annotated[
        str | None,
        typer.Option(
            metavar="each|TOP_K|frontier|model-sizes|0",
            help="Retrain the best genotype of each value, of the K best ones, of the Pareto "
            "front, of each number of convolutions, or none.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    seed: options.Seed = None,
    share: Annotated[
        bool | None,
        typer.Option(
            "--share/--no-share",
            help="Run epochs that trials have in common only once.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    reuse: Annotated[
        bool | None,
        typer.Option(
            "--reuse/--no-reuse",
            help="Use results of trials that finished in other runs.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    run_name: options.Name = None,
    concurrency: options.Concurrency = None,
    together: options.Together = None,
    log_model: options.LogModel = True,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Run many searches, retrain the winners and compare."""
    bodies.running.sweep(
        name,
        overrides,
        execution,
        bodies.running.SweepSettings(
            epochs=epochs,
            seeds=seeds,
            searcher=searcher,
            scheduler=scheduler,
            trials=trials,
            retrain=retrain,
            seed=seed,
            share=share,
            reuse=reuse,
        ),
        run_name=run_name,
        concurrency=concurrency,
        together=together,
        log_model=log_model,
        plan=plan,
        output=output,
    )


@spread
def search(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL|FILE",
            help="See `list trials`.",
            autocompletion=completion.trial_names,
        ),
    ],
    overrides: options.TrialOptions,
    execution: options.ExecutionOptions,
    plan: options.PlanOptions,
    epochs: options.Epochs = None,
    seed: options.Seed = None,
    run_name: options.Name = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Run a single search, tracked like a sweep."""
    bodies.running.search(
        trial,
        overrides,
        execution,
        plan=plan,
        epochs=epochs,
        seed=seed,
        run_name=run_name,
        output=output,
    )


@spread
def retrain(
    genotype: options.GenotypeText,
    overrides: options.TrialOptions,
    execution: options.ExecutionOptions,
    plan: options.PlanOptions,
    trial: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Trial whose data and retrain section to use; not needed for a run.",
            autocompletion=completion.trial_names,
        ),
    ] = None,
    epochs: options.RetrainEpochs = None,
    recipe: options.Recipes = None,
    seed: options.Seed = None,
    seeds: options.RetrainSeeds = None,
    run_name: options.Name = None,
    log_model: options.LogModel = True,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Train one genotype from scratch; with several recipes or seeds, once with each."""
    bodies.retraining.retrain(
        genotype,
        overrides,
        execution,
        trial=trial,
        epochs=epochs,
        recipes=recipe or [],
        seed=seed,
        seeds=seeds,
        run_name=run_name,
        log_model=log_model,
        plan=plan,
        output=output,
    )


@spread
def resume(
    context: typer.Context,
    execution: options.ExecutionOptions,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of the run; by default the latest unfinished one.",
            autocompletion=completion.run_names,
        ),
    ] = None,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Try failed trials again, also of a finished sweep."),
    ] = False,
    stopped: Annotated[
        bool,
        typer.Option("--stopped", help="Continue trials that `tune-nas stop` has ended."),
    ] = False,
    concurrency: options.Concurrency = None,
    together: options.Together = None,
    workers: options.Workers = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Resume a sweep, search, retraining run or analysis after a crash or Ctrl-C, as started."""
    bodies.running.resume(
        name,
        options.in_own_store(execution, context),
        failed=failed,
        stopped=stopped,
        concurrency=concurrency,
        together=together,
        workers=workers,
        output=output,
    )
