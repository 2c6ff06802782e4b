"""Options shared by commands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import typer

from tune_nas.cli import completion
from tune_nas.cli.output import Format

_TRIAL = "Trial"
_WHERE = "Execution"

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Data set: see `list data`.",
        autocompletion=completion.data_set_names,
        rich_help_panel=_TRIAL,
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        metavar="PATH",
        help="Directory with the data set's files.",
        rich_help_panel=_TRIAL,
    ),
]
Space = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="NAME|FILE",
        help="Space.",
        autocompletion=completion.space_names,
        rich_help_panel=_TRIAL,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        help="Number of search epochs, with which warm-ups, phases and decisions scale; of a "
        "black-box search, its budget.",
        rich_help_panel=_TRIAL,
    ),
]
RetrainEpochs = Annotated[
    int | None,
    typer.Option("--epochs", help="Number of retraining epochs.", rich_help_panel=_TRIAL),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Recipe of the retraining; repeatable, for a run with each.",
        rich_help_panel=_TRIAL,
    ),
]
RetrainSeeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        help="Number of retraining runs, each with another seed.",
        show_default="1",
        rich_help_panel=_TRIAL,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of a trial, e.g. update.lambda=0.3; repeatable.",
        rich_help_panel=_TRIAL,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed.", rich_help_panel=_TRIAL)]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Name of the run and of its folder.", rich_help_panel=_WHERE),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        min=1,
        help="Maximum number of concurrent trials.",
        rich_help_panel=_WHERE,
    ),
]
Together = Annotated[
    int | None,
    typer.Option(
        "--searches-per-process",
        "--together",  # the earlier name
        help="Searches that share a process and run their passes as one (experimental).",
        show_default="1",
        rich_help_panel=_WHERE,
    ),
]
LogModel = Annotated[
    bool,
    typer.Option(
        "--log-model/--no-log-model",
        help="Log the network of the best genotype, once retrained, as a model of its MLflow run.",
        rich_help_panel=_WHERE,
    ),
]
CpusPerTrial = Annotated[
    float | None,
    typer.Option(
        "--cpus-per-trial",
        help="CPUs of a trial, or of each of its workers.",
        show_default="1",
        rich_help_panel=_WHERE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Number of processes of a retraining run, instead of runtime.workers.",
        show_default="as started",
        rich_help_panel=_WHERE,
    ),
]
GpusPerTrial = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-trial",
        help="GPUs of a trial; fractions share one, more than 1 must be whole.",
        show_default="0",
        rich_help_panel=_WHERE,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="RAY_ADDRESS",
        help="A Ray cluster; without it, this machine.",
        rich_help_panel=_WHERE,
    ),
]
UseRay = Annotated[
    bool | None,
    typer.Option(
        "--ray/--no-ray",
        help="Run the trials on Ray, or in this process.",
        show_default="as needed",
        rich_help_panel=_WHERE,
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="TUNE_NAS_STORAGE",
        metavar="PATH|URI",
        help="Where runs are kept.",
        rich_help_panel=_WHERE,
    ),
]
Mlflow = Annotated[
    str | None,
    typer.Option(
        "--mlflow",
        envvar="MLFLOW_TRACKING_URI",
        metavar="URI",
        help="MLflow store.",
        show_default="mlflow.db in the storage",
        rich_help_panel=_WHERE,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress, only the result.", rich_help_panel=_WHERE),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="Output format.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the resolved trials and count their epochs; run none."),
]
TimeSteps = Annotated[
    bool,
    typer.Option("--estimate", help="Like --dry-run, and time a few steps for the cost."),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Start without an estimate, however long it takes."),
]

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run in the storage, by its name.",
        autocompletion=completion.run_names,
    ),
]
GenotypeText = Annotated[
    str,
    typer.Argument(
        metavar="GENOTYPE|FILE|RUN",
        help="A genotype as text, a published name, a number of NAS-Bench-201, a file "
        "(FILE:NAME where it has several), or a run.",
        autocompletion=completion.run_names,
    ),
]


@dataclass(frozen=True)
class TrialOptions:
    """Options that set keys of a trial; ``--set`` is applied last and takes precedence."""

    data: Data = None
    data_dir: DataDir = None
    space: Space = None
    settings: Settings = None


@dataclass(frozen=True)
class PlanOptions:
    """Whether a run is only planned, and whether a long one is started without a question."""

    dry_run: DryRun = False
    estimate: TimeSteps = False
    yes: Yes = False

    @property
    def only_planned(self) -> bool:
        """Whether nothing is run."""
        return self.dry_run or self.estimate


@dataclass(frozen=True)
class ExecutionOptions:
    """Where and how a run is executed."""

    cpus_per_trial: CpusPerTrial = None
    gpus_per_trial: GpusPerTrial = None
    address: Address = None
    ray: UseRay = None
    storage: Storage = "runs"
    mlflow: Mlflow = None
    quiet: Quiet = False


def in_own_store(execution: ExecutionOptions, context: typer.Context) -> ExecutionOptions:
    """Return the options of a command that continues a run in the MLflow store that has it.

    Only ``--mlflow`` selects another store; the current ``MLFLOW_TRACKING_URI`` does not.
    """
    source = context.get_parameter_source("mlflow")
    if source is None or source.name != "COMMANDLINE":
        return replace(execution, mlflow=None)
    return execution
