"""Options shared by commands, and their meaning for a trial."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas.cli.flags import with_flags
from tune_nas.cli.output import Format
from tune_nas.paths import expanded, is_file

if TYPE_CHECKING:
    from tune_nas.sweep import RunOptions

_TRIAL = "What a trial does"
_WHERE = "Where and how it runs"

Data = Annotated[
    str | None,
    typer.Option("--data", help="Data set: see `list data`.", rich_help_panel=_TRIAL),
]
DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", metavar="PATH", help="Where its files lie.", rich_help_panel=_TRIAL),
]
Space = Annotated[
    str | None,
    typer.Option("--space", metavar="NAME|FILE", help="Space.", rich_help_panel=_TRIAL),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        help="Epochs of a trial; what happens at certain epochs is scaled with them.",
        rich_help_panel=_TRIAL,
    ),
]
RetrainEpochs = Annotated[
    int | None, typer.Option("--epochs", help="Epochs of a retrain.", rich_help_panel=_TRIAL)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of a trial, as update.lambda=0.3; repeatable.",
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
    typer.Option("--concurrency", min=1, help="Most trials at a time.", rich_help_panel=_WHERE),
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
CpusPerTrial = Annotated[
    float | None,
    typer.Option(
        "--cpus-per-trial", help="CPUs of a trial.", show_default="1", rich_help_panel=_WHERE
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
OutputFormat = Annotated[Format, typer.Option("--format", help="What stdout carries.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the resolved trials and their estimated cost; run none."),
]


@dataclass(frozen=True)
class TrialOptions:
    """Options that set keys of a trial; ``--set`` is applied last and takes precedence."""

    data: Data = None
    data_dir: DataDir = None
    space: Space = None
    settings: Settings = None

    def changes(self) -> dict[str, Any]:
        """Return the dotted keys that the options set.

        Paths become absolute, since trials run in other folders.

        Raises:
            ConfigError: If a ``--set`` is not KEY=VALUE, or not a key of a trial.
        """
        from tune_nas.library import shipped_names

        space = self.space
        if space is not None and space not in shipped_names("space") and is_file(space):
            space = str(Path(space).resolve())
        given = {"data.name": self.data, "space.name": space}
        return {
            **{key: value for key, value in given.items() if value is not None},
            **changes_of(self.data_dir, self.settings),
        }


@dataclass(frozen=True)
class Place:
    """Where and how a run is executed."""

    cpus_per_trial: CpusPerTrial = None
    gpus_per_trial: GpusPerTrial = None
    address: Address = None
    storage: Storage = "runs"
    mlflow: Mlflow = None
    quiet: Quiet = False

    def run_options(self, concurrency: int | None = 1, together: int | None = None) -> RunOptions:
        """Return the options of a run; progress is shown live on a terminal.

        Prints a line on stderr for settings that are allowed but probably not intended.

        Args:
            concurrency: Maximum number of concurrent trials; None for as many as fit.
            together: Searches per process; None for one.
        """
        from tune_nas.sweep import RunOptions

        options = RunOptions(
            storage=self.storage,
            mlflow=self.mlflow,
            address=self.address,
            concurrency=concurrency,
            cpus_per_trial=self.cpus_per_trial,
            gpus_per_trial=self.gpus_per_trial,
            together=together,
            quiet=self.quiet,
            live=sys.stderr.isatty() and not self.quiet,
        )
        for remark in options.remarks:
            typer.echo(f"tune-nas: note: {with_flags(remark)}", err=True)
        return options


def changes_of(data_dir: str | None, settings: Sequence[str] | None) -> dict[str, Any]:
    """Return the dotted keys that ``--data-dir`` and ``--set`` set.

    Raises:
        ConfigError: If a ``--set`` is not KEY=VALUE, or not a key of a trial.
    """
    from tune_nas.library import check_key, parse_assignment

    changes: dict[str, Any] = {}
    if data_dir is not None:
        changes["data.dir"] = str(expanded(data_dir).resolve())
    for text in settings or ():
        key, value = parse_assignment(text)
        check_key(key, "--set")
        changes[key] = value
    return changes


def mlflow_uri(mlflow: str | None, storage: str) -> str:
    """Return the MLflow store: the given one, else ``mlflow.db`` in a local storage.

    Raises:
        StorageError: If none is given and the storage is remote.
    """
    from tune_nas.sweep.runs.storage import Storage
    from tune_nas.sweep.runs.store_uri import store_uri

    return store_uri(mlflow or "", Storage(storage))


def exists(uri: str) -> bool:
    """Return whether an MLflow store can exist: asking for runs must not create one."""
    path = uri.removeprefix("sqlite:///")
    return path == uri or is_file(path)
