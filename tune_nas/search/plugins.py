"""What the parts of a search have in common: registering, running and checking them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.spaces import Space
from tune_nas.user_code import said

Part = TypeVar("Part")


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
