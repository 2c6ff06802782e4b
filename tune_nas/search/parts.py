"""Where the name of a part becomes a class: a registered one, or ``module:Class`` of a user's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from tune_nas.errors import ConfigError
from tune_nas.spaces import Space
from tune_nas.user_code import import_named, said

Part = TypeVar("Part")


def find_part(key: str, kind: str, known: Mapping[str, type[Part]], base: type[Any]) -> type[Part]:
    """Return the class that a trial names.

    A module is found as Python finds it, and in the folder that the command runs in.

    Args:
        key: The key that names it, for the message.
        kind: A known name, or ``module:Class``.
        known: Classes by name.
        base: What a user's class must be derived from.

    Raises:
        ConfigError: If it cannot be imported or is no such class.
    """
    if kind in known:
        return known[kind]
    found = import_named(key, kind)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{key} is '{kind}', but must be a class derived from {base.__name__}")
    return found


@contextmanager
def running_own_code(key: str, kind: str) -> Iterator[None]:
    """Turn a ``sys.exit`` of a user's class into an error: it would end without a message.

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


def register_in(registry: dict[str, type[Part]], kind: str) -> Callable[[type[Part]], type[Part]]:
    """Return a decorator that makes a class known under a name."""

    def add(part: type[Part]) -> type[Part]:
        registry[kind] = part
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
