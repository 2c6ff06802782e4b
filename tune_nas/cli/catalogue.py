"""`tune-nas list` and `tune-nas show`: what there is, and what it is in full."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tune_nas.cli import options
from tune_nas.cli.output import Format, echo, print_json, print_table
from tune_nas.errors import ConfigError
from tune_nas.paths import is_file
from tune_nas.text import brief


class Kind(StrEnum):
    """What `tune-nas list` can list."""

    TRIALS = "trials"
    SPACES = "spaces"
    SWEEPS = "sweeps"
    DATA = "data"
    RUNS = "runs"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    storage: options.Storage = "runs",
    mlflow: options.Mlflow = None,
    output: options.OutputFormat = Format.TABLE,
) -> None:
    """List the shipped trials, spaces and sweeps, the data sets, or your runs."""
    if kind is Kind.RUNS:
        rows = _runs(options.mlflow_uri(mlflow, storage))
    elif kind is Kind.DATA:
        rows = _data_sets()
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
    """Print the resolved YAML of a trial, a space or a sweep: every key with its value."""
    import yaml

    content = _RESOLVERS[_kind_of(name)](name)
    typer.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100), nl=False)


def _shipped(kind: str) -> list[dict[str, Any]]:
    from tune_nas.library import find, read_yaml, shipped_names

    return [
        {"name": name, "description": read_yaml(find(kind, name)).get("description", "")}
        for name in shipped_names(kind)
    ]


def _data_sets() -> list[dict[str, Any]]:
    from tune_nas.data import dataset_description, dataset_names

    return [{"name": name, "description": dataset_description(name)} for name in dataset_names()]


def _runs(uri: str) -> list[dict[str, Any]]:
    if not options.exists(uri):
        return []
    from tune_nas.tracking import Tracker

    return [
        {
            "sweep": run.sweep,
            "name": run.name,
            "stage": run.stage,
            "status": run.status,
            "reason": run.tags.get("reason", ""),
            "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started)),
            "epoch": run.metrics.get("epoch"),
            **{key: run.metrics.get(key) for key in ("valid_accuracy", "test_accuracy")},
            "run_id": run.run_id,
        }
        for run in Tracker(uri, create=False).list_runs()
    ]


def _kind_of(name: str) -> str:
    """Return ``trial``, ``space`` or ``sweep``: a file's by the keys that only one of them has."""
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
