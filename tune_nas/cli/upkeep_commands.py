"""`tune-nas rm`, `rename`, `clean` and `doctor`: keeping a storage and a machine in order."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_nas.cli import bodies, completion
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format
from tune_nas.sweep.ray.environment import prepare_environment

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def rm(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Runs in the storage.",
            autocompletion=completion.run_names,
        ),
    ],
    yes: Yes = False,
    keep_mlflow: Annotated[
        bool, typer.Option("--keep-mlflow", help="Keep the runs in MLflow.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also if a driver on another machine may still be alive."),
    ] = False,
    storage: options.Storage = "runs",
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Remove runs: their folders, and their runs in MLflow.

    MLflow keeps deleted runs and their files until `mlflow gc`.
    """
    bodies.run_upkeep.remove(
        runs, storage, yes=yes, mlflow_runs=not keep_mlflow, force=force, output=output
    )


def rename(
    run: options.RunName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    storage: options.Storage = "runs",
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Rename a run: its folder, and its runs in MLflow."""
    bodies.run_upkeep.rename(run, name, storage, output)


def clean(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Runs in the storage; by default, all finished ones.",
            autocompletion=completion.run_names,
        ),
    ] = None,
    yes: Yes = False,
    supernets: Annotated[
        bool,
        typer.Option(
            "--supernets",
            help="Also the supernets of searches, which `select` and `analyze` start from.",
        ),
    ] = False,
    storage: options.Storage = "runs",
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Free the space of checkpoints that nothing reads anymore, of finished runs.

    Genotypes, results, retrained networks and, without --supernets, the newest supernet of each
    search are kept.
    """
    bodies.run_upkeep.clean_up(runs or [], storage, yes=yes, supernets=supernets, output=output)


def doctor(
    data: options.Data = None,
    data_dir: options.DataDir = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Neither start Ray nor compile the kernels.")
    ] = False,
    address: options.Address = None,
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """Check packages, storage, MLflow, Ray, GPU, data and kernels; suggest remedies."""
    prepare_environment(address)  # before Ray is imported
    bodies.doctor_report.examine(
        storage, mlflow, address, data, data_dir, quick=quick, output=output
    )
