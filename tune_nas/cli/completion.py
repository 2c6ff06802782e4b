"""Names that a shell completes: shipped files, data sets and the runs of the storage."""

from __future__ import annotations

import typer

from tune_nas.errors import StorageError
from tune_nas.manifest import names
from tune_nas.paths import SWEEP, expanded, is_uri
from tune_nas.shipped import KINDS, shipped_names


def trial_names(incomplete: str) -> list[str]:
    """Return the shipped trials that start with a text; the shell itself completes files."""
    return _starting_with(incomplete, shipped_names("trial"))


def sweep_names(incomplete: str) -> list[str]:
    """Return the shipped sweeps that start with a text."""
    return _starting_with(incomplete, shipped_names("sweep"))


def space_names(incomplete: str) -> list[str]:
    """Return the shipped spaces that start with a text."""
    return _starting_with(incomplete, shipped_names("space"))


def shipped_of_any_kind(incomplete: str) -> list[str]:
    """Return the shipped trials, spaces and sweeps that start with a text."""
    return _starting_with(incomplete, [name for kind in KINDS for name in shipped_names(kind)])


def data_set_names(incomplete: str) -> list[str]:
    """Return the data sets that start with a text."""
    return _starting_with(incomplete, sorted(names("datasets")))


def analysis_kinds(incomplete: str) -> list[str]:
    """Return the kinds of analysis that start with a text."""
    return _starting_with(incomplete, list(names("analyses")))


def run_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the runs of a local storage that start with a text; a remote one is not contacted."""
    storage = str(context.params.get("storage") or "runs")
    if is_uri(storage):
        return []
    try:
        runs = [path.parent.name for path in expanded(storage).glob(f"*/{SWEEP}")]
    except (OSError, StorageError):
        return []
    return _starting_with(incomplete, sorted(runs))


def _starting_with(incomplete: str, known: list[str]) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]
