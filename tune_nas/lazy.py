"""Names of a package whose modules are imported when a name is first used (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def lazily(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    A package sets it where type checkers do not look, so that they report an unknown name::

        if TYPE_CHECKING:
            from package.module import Name
        else:
            __getattr__ = lazily(__name__, {"Name": "package.module"})

    Args:
        package: Name of the package.
        names: Name → dotted name of the module that has it; ``module:name`` where it has it under
            another name.
    """

    def load(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module, _, there = names[name].partition(":")
        value: object = getattr(importlib.import_module(module), there or name)
        return value

    return load
