"""Running under a free name, and the line that Ctrl-C prints: how to resume the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from tune_nas.errors import NameTakenError
from tune_nas.sweep.options import storage_option
from tune_nas.sweep.runs.lookup import find_run
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import printable

if TYPE_CHECKING:
    from tune_nas.sweep import SweepOutcome


def named(
    name: str | None, usual: str, storage: str, run: Callable[[str], SweepOutcome]
) -> SweepOutcome:
    """Run under a name; if none is given, under a free one, even if other runs start meanwhile.

    Args:
        name: The name; None for the usual one, with a number if that is taken.
        usual: The usual name.
        storage: Storage of the run.
        run: Function that runs under a given name.

    Raises:
        NameTakenError: If the given name is taken.
    """
    while True:
        chosen = name or free_name(usual, storage)
        try:
            with interruptible(chosen, storage):
                return run(chosen)
        except NameTakenError:
            if name is not None:
                raise


def free_name(name: str, storage: str) -> str:
    """Return the name, or the first free one of name-2, name-3, … in the storage."""
    taken = set(Storage(storage).names())
    return next(
        candidate
        for candidate in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        if candidate not in taken
    )


@contextmanager
def interruptible(name: str | None, storage: str) -> Iterator[None]:
    """Turn Ctrl-C into one line that says how to resume, and status 130."""
    try:
        yield
    except KeyboardInterrupt:
        command = f"tune-nas resume{f' {name}' if name else ''}{storage_option(storage)}"
        hint = f"resume with: {command}" if _is_there(name, storage) else "nothing was written"
        print(printable(f"tune-nas: interrupted; {hint}"), file=sys.stderr)
        raise typer.Exit(130) from None


def _is_there(name: str | None, storage: str) -> bool:
    """Return whether a run of this name exists; without a name, resume has found one."""
    return name is None or find_run(name, storage).state is not None
