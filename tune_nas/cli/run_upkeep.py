"""The work of `tune-nas rm`, `rename` and `clean`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

import typer

from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.tables import print_table
from tune_nas.cli.units import size_text
from tune_nas.errors import ConfigError
from tune_nas.sweep.manage.cleaning import CleaningPlan, clean, plan_cleaning
from tune_nas.sweep.manage.managed_run import ManagedRun
from tune_nas.sweep.manage.removal import remove_run
from tune_nas.sweep.manage.renaming import rename_run
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.plan import read_states
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import listed, plural, printable


def remove(
    runs: Sequence[str],
    storage: str,
    *,
    yes: bool,
    mlflow_runs: bool,
    force: bool,
    output: Format,
) -> None:
    """Remove runs, after a question on a terminal.

    Raises:
        ConfigError: If a question is needed, but stdin is not a terminal.
        StorageError: If a run does not exist, is running, or cannot be removed.
        typer.Exit: With status 1, if the answer is no.
    """
    names = list(dict.fromkeys(existing_run(run, storage).name for run in runs))
    for name in names:
        ManagedRun(storage, name).check_not_running(force=force)
    if not yes:
        runs_root = Storage(storage)
        sizes = [f"'{name}' ({size_text(runs_root.within(name).size())})" for name in names]
        also = " and their runs in MLflow" if mlflow_runs else ""
        _confirm(f"remove {listed(sizes)}{also}?")
    done = [remove_run(storage, name, mlflow_runs=mlflow_runs, force=force) for name in names]
    if output is Format.JSON:
        print_json([asdict(removed) for removed in done])
        return
    for removed in done:
        tracked = f", {plural(removed.tracked, 'run')} in MLflow" if removed.tracked else ""
        echo(printable(f"removed '{removed.name}': {size_text(removed.size)}{tracked}"))


def rename(old: str, new: str, storage: str, output: Format) -> None:
    """Rename a run.

    Raises:
        ConfigError: If the new name is not valid.
        StorageError: If the run does not exist, is running, or the new name is taken.
    """
    renamed = rename_run(storage, old, new)
    if output is Format.JSON:
        print_json(asdict(renamed))
        return
    tracked = f", with {plural(renamed.tracked, 'run')} in MLflow" if renamed.tracked else ""
    echo(printable(f"renamed '{old}' to '{renamed.name}'{tracked}"))


def clean_up(
    runs: Sequence[str], storage: str, *, yes: bool, supernets: bool, output: Format
) -> None:
    """List what can be removed from checkpoints, and remove it after a question.

    Without a terminal and without ``--yes``, only list it.

    Raises:
        StorageError: If a run does not exist, is running, or something cannot be removed.
    """
    if runs:
        names = list(dict.fromkeys(existing_run(run, storage).name for run in runs))
    else:
        names = [name for name, _ in read_states(Storage(storage))]
    plan = plan_cleaning(storage, names, supernets=supernets)
    if output is Format.JSON:
        freed = clean(storage, plan) if yes else None
        print_json({"parts": _rows(plan, int), "skipped": plan.skipped, "freed": freed})
        return
    for name, reason in plan.skipped.items():
        if runs:
            echo(printable(f"'{name}' is skipped: {reason}"))
    if not plan.parts:
        echo("nothing to remove")
        return
    rows = _rows(plan, size_text)
    print_table(list(rows[0]), rows)
    total = size_text(plan.size)
    if not yes and not sys.stdin.isatty():
        echo(f"{total} can be freed: give --yes")
        return
    if not yes:
        _confirm(f"remove {total}?")
    echo(f"freed {size_text(clean(storage, plan))}")


def _rows(plan: CleaningPlan, show: Callable[[int], object]) -> list[dict[str, object]]:
    """Return the number and the size of the parts by run and kind; `show` converts the sizes."""
    counts = Counter((part.name, part.kind) for part in plan.parts)
    sizes: Counter[tuple[str, str]] = Counter()
    for part in plan.parts:
        sizes[part.name, part.kind] += part.size
    return [
        {"run": name, "kind": kind, "number": number, "size": show(sizes[name, kind])}
        for (name, kind), number in counts.items()
    ]


def _confirm(question: str) -> None:
    """Ask a question on a terminal.

    Raises:
        ConfigError: If stdin is not a terminal.
        typer.Exit: With status 1, if the answer is no.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} This is not a terminal: give --yes")
    if not typer.confirm(printable(question)):
        raise typer.Exit(1)
