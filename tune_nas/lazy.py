"""Lazy import of a package's modules when a name is first used (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from types import ModuleType


def lazily(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    A package hides it from type checkers, so that they report unknown names::

        if TYPE_CHECKING:
            from package.module import Name
        else:
            __getattr__ = lazily(__name__, {"Name": "package.module"})

    Args:
        package: Name of the package.
        names: Name → dotted name of its module; ``module:name`` if its name there differs.
    """

    def load(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module, _, there = names[name].partition(":")
        value: object = getattr(importlib.import_module(module), there or name)
        return value

    return load


def lazy_modules(module: str, names: Collection[str]) -> Callable[[str], ModuleType]:
    """Return the ``__getattr__`` of a module that stands for other modules of its package.

    Each is imported when it is first used; type checkers see the imports, as for `lazily`.

    Args:
        module: Name of the module.
        names: Names of the modules for which it stands.
    """
    package = module.rpartition(".")[0]

    def load(name: str) -> ModuleType:
        if name not in names:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        return importlib.import_module(f"{package}.{name}")

    return load
