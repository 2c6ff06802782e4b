"""Names of a package whose modules are imported when a name is first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def lazily(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    A package sets it where type checkers do not look, so that they report an unknown name::

        if TYPE_CHECKING:
            from package.module import Name
        else:
            __getattr__ = lazily(__name__, {"Name": "package.module"})

    Args:
        package: Name of the package.
        modules: Name → dotted name of the module that has it.
    """

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value: object = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)  # the next use does not come here
        return value

    return load
