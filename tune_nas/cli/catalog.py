"""`tune-nas list` and `tune-nas show`: everything that is available, and its full content."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_nas import manifest
from tune_nas.cli import shared_options as options
from tune_nas.cli.output import Format, echo, print_json, print_table
from tune_nas.errors import ConfigError
from tune_nas.paths import is_file, is_uri
from tune_nas.text import brief

if TYPE_CHECKING:
    from tune_nas.sweep.runs.drivers import DriverStatus
    from tune_nas.tracking import TrackedRun


class Kind(StrEnum):
    """The kinds that `tune-nas list` can list."""

    TRIALS = "trials"
    SPACES = "spaces"
    SWEEPS = "sweeps"
    DATA = "data"
    PARTS = "parts"
    GENOTYPES = "genotypes"
    RUNS = "runs"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """List shipped trials, spaces and sweeps, data sets, parts, known genotypes, or your runs."""
    if kind is Kind.RUNS:
        rows = _runs(options.mlflow_uri(mlflow, storage), storage)
    elif kind is Kind.DATA:
        rows = _data_sets()
    elif kind is Kind.PARTS:
        rows = _parts()
    elif kind is Kind.GENOTYPES:
        rows = _genotypes()
    else:
        rows = _shipped(kind.value.removesuffix("s"))
    if output is Format.JSON:
        print_json(rows)
    elif rows:
        print_table(list(dict.fromkeys(key for row in rows for key in row)), rows)
    else:
        echo(f"no {kind} in {mlflow or storage} yet")


def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A trial, a space or a sweep.")],
) -> None:
    """Print the resolved YAML of a trial, a space or a sweep: every key with its value.

    The keys of a trial that have no effect follow as comments, each with the reason.
    """
    import yaml

    kind = _kind_of(name)
    content = _RESOLVERS[kind](name)
    typer.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100), nl=False)
    if kind == "trial":
        typer.echo(_without_effect(name), nl=False)


def _shipped(kind: str) -> list[dict[str, Any]]:
    from tune_nas.library import find, read_yaml, shipped_names

    return [
        {"name": name, "description": read_yaml(find(kind, name)).get("description", "")}
        for name in shipped_names(kind)
    ]


def _data_sets() -> list[dict[str, Any]]:
    from tune_nas.data import dataset_description, dataset_names

    def described(name: str) -> str:
        try:
            return dataset_description(name)
        except ConfigError as error:  # an error of an installed package must not hide the others
            return str(error)

    return [{"name": name, "description": described(name)} for name in dataset_names()]


def _parts() -> list[dict[str, Any]]:
    """Return every name of the manifest, with the key that accepts it and its meaning."""
    keys = {kind: key for key, kind in manifest.KINDS.items()}
    return [
        {"key": keys[kind], "name": name, "part": manifest.target(kind, name)}
        for kind in manifest.SHIPPED
        for name in manifest.names(kind)
    ]


def _genotypes() -> list[dict[str, Any]]:
    from tune_nas.spaces.notation import published_genotypes

    return [
        {"name": known.name, "space": known.space, "paper": known.paper, "source": known.source}
        for known in published_genotypes()
    ]


def _runs(uri: str, storage: str) -> list[dict[str, Any]]:
    """Return the runs of a store, newest first; for a running one, whether its driver is alive."""
    from tune_nas.tracking import Tracker
    from tune_nas.tracking.tracked_run import IDENTITY, SWEEP_RUN

    runs = Tracker(uri, create=False).list_runs() if options.exists(uri) else []
    identities = {run.run_id: run.tags[IDENTITY] for run in runs if IDENTITY in run.tags}
    drivers = _Drivers(storage)
    rows = [
        {
            "sweep": run.sweep,
            "name": run.name,
            "stage": run.stage,
            "status": run.status,
            "reason": run.tags.get("reason", ""),
            "started": run.started,
            "epoch": run.metrics.get("epoch"),
            **{key: run.metrics.get(key) for key in ("valid_accuracy", "test_accuracy")},
            "run_id": run.run_id,
            **drivers.of_run(run, identities.get(run.tags.get(SWEEP_RUN, run.run_id))),
        }
        for run in runs
    ]
    rows += drivers.untracked(uri, set(identities.values()))
    rows.sort(key=lambda row: -row["started"])
    clock = "%Y-%m-%d %H:%M:%S"
    return [
        {**row, "started": time.strftime(clock, time.localtime(row["started"]))} for row in rows
    ]


class _Drivers:
    """The status of the drivers of a storage's sweeps, each examined once.

    Args:
        storage: The storage; a remote one is not contacted before it is needed.
    """

    def __init__(self, storage: str) -> None:
        self._storage = storage
        self._known: dict[tuple[str, str | None], DriverStatus] = {}

    def of_run(self, run: TrackedRun, identity: str | None) -> dict[str, Any]:
        """Return status and reason of a run that is running in MLflow; otherwise nothing."""
        if run.status != "running":
            return {}
        found = self._status(run.sweep, identity)
        reason = found.reason if run.stage == "sweep" else ""
        return {"status": found.status, "reason": reason}

    def untracked(self, uri: str, known: set[str]) -> list[dict[str, Any]]:
        """Return rows of the started sweeps without a run in the store that they name."""
        from tune_nas.sweep.runs.drivers import without_runs
        from tune_nas.sweep.runs.storage import Storage
        from tune_nas.sweep.runs.store_uri import store_uri

        if is_uri(self._storage):
            return []
        root = Storage(self._storage)
        return [
            {
                "sweep": name,
                "name": name,
                "stage": "sweep",
                "status": found.status,
                "reason": found.reason,
                "started": state.started,
                **dict.fromkeys(("epoch", "valid_accuracy", "test_accuracy", "run_id")),
            }
            for name, state in without_runs(root, known).items()
            if store_uri(state.mlflow, root) == uri
            and (found := self._status(name, state.identity))
        ]

    def _status(self, name: str, identity: str | None) -> DriverStatus:
        from tune_nas.sweep.runs.drivers import driver_status

        if (name, identity) not in self._known:
            self._known[name, identity] = driver_status(self._storage, name, identity)
        return self._known[name, identity]


def _kind_of(name: str) -> str:
    """Return ``trial``, ``space`` or ``sweep``; of a file, by keys that are unique to one."""
    from tune_nas.library import nearest, read_yaml, shipped_names

    known = {name: kind for kind in _RESOLVERS for name in shipped_names(kind)}
    if name in known:
        return known[name]
    if not is_file(name):
        raise ConfigError(
            f"'{brief(name)}' is neither a file nor a shipped trial, space or sweep"
            f"{nearest(name, list(known))}; shipped: {', '.join(known)}"
        )
    keys = read_yaml(Path(name)).keys()
    return "sweep" if "parameters" in keys else "space" if "cells" in keys else "trial"


def _trial(name: str) -> dict[str, Any]:
    from tune_nas.library import load_trial

    return load_trial(name).to_dict()


def _without_effect(name: str) -> str:
    """Return the keys without effect on a search as comment lines; empty if there are none."""
    from tune_nas.config import TrialConfig, dotted_keys
    from tune_nas.config.effects import no_effect
    from tune_nas.library import load_trial
    from tune_nas.user_code import declared_reads

    trial = load_trial(name)
    reasons = [no_effect(trial, key, declared_reads) for key in dotted_keys(TrialConfig)]
    lines = [f"#   {reason.key}: {reason.found}\n" for reason in reasons if reason is not None]
    return "".join(["# no effect on this trial:\n", *lines]) if lines else ""


def _space(name: str) -> dict[str, Any]:
    from tune_nas.spaces import load_space

    return load_space(name).to_dict()


def _sweep(name: str) -> dict[str, Any]:
    from tune_nas.sweep.resolve import load_sweep

    return load_sweep(name).to_dict()


_RESOLVERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "trial": _trial,
    "space": _space,
    "sweep": _sweep,
}
