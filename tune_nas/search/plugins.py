"""Lookup of a part's class by a name of the manifest or ``module:Class``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.spaces import Space
from tune_nas.user_code import load_named, said

Part = TypeVar("Part")


def find_part(key: str, kind: str, base: type[Any]) -> type[Any]:
    """Return the class that a trial names.

    A module is looked up in Python's import path and in the current working directory.

    Args:
        key: The key that names it.
        kind: A name of the manifest, or ``module:Class``.
        base: The required base class.

    Raises:
        ConfigError: If it cannot be imported or is not such a class.
    """
    found = load_named(key, kind)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{key} is '{kind}', but must be a class derived from {base.__name__}")
    return found


@contextmanager
def running_own_code(key: str, kind: str) -> Iterator[None]:
    """Turn a ``sys.exit`` of a custom class into an error: it would end without a message.

    Args:
        key: The key that names the class, for the message.
        kind: Its name.

    Raises:
        ConfigError: If the code in the block exits the program.
    """
    try:
        yield
    except SystemExit as error:
        raise ConfigError(f"{key} is '{kind}', but {said(error)}") from error


def register_as(kind: manifest.Kind, name: str) -> Callable[[type[Part]], type[Part]]:
    """Return a decorator that registers a class under a name in the current process."""

    def add(part: type[Part]) -> type[Part]:
        manifest.register(kind, name, part)
        return part

    return add


def check_cells(key: str, names: Iterable[str], space: Space) -> None:
    """Raise a ConfigError if a key of a trial names a cell type that the space does not have."""
    for name in names:
        if name not in space.cells:
            raise ConfigError(
                f"{key} has the cell '{name}', but the cells of space '{space.name}' are "
                f"{', '.join(space.cells)}"
            )
