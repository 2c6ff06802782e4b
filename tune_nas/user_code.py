"""Importing parts of a trial or a space by a name of the manifest or ``module:name``."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.text import brief, shown


def load_named(key: str, name: str, folders: Sequence[Path] = (), label: str = "") -> Any:
    """Return the part that a key names; None if its module has no such name.

    Args:
        key: The key that names it, one of `tune_nas.manifest.KINDS`.
        name: A name of the manifest, or ``module:name``.
        folders: Folders searched first for the module of a custom part.
        label: How a message calls the key; the key itself by default.

    Raises:
        ConfigError: If importing a part that is not built in fails.
    """
    kind = manifest.KINDS[key]
    part = manifest.registered(kind, name)
    if part is not None:
        return part
    target = manifest.target(kind, name) or name
    if not manifest.is_shipped(kind, name):
        return import_named(label or key, target, folders)
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find_class(key: str, name: str, base: type[Any], others: Sequence[str] = ()) -> type[Any]:
    """Return the class that an option of a command names.

    Messages have the key in backticks, which the command line replaces with its flag.

    Args:
        key: The key that names it, one of `tune_nas.manifest.KINDS`.
        name: A name of the manifest, or ``module:Class``.
        base: The required base class.
        others: Further names that the caller accepts, for the message.

    Raises:
        ConfigError: If no class has this name, or it cannot be imported or is not such a class.
    """
    kind = manifest.KINDS[key]
    if not (manifest.is_known(kind, name) or manifest.is_reference(name)):
        known = [*manifest.names(kind), *others]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ", or module:Class"
        raise ConfigError(
            f"`{key}` is '{brief(name)}', but must be one of {', '.join(known)}{hint}"
        )
    return load_class(key, name, base, label=f"`{key}`")


def load_class(
    key: str, name: str, base: type[Any], described: str = "", label: str = ""
) -> type[Any]:
    """Return the class that a key names.

    A module is looked up in Python's import path and in the current working directory.

    Args:
        key: The key that names it, one of `tune_nas.manifest.KINDS`.
        name: A name of the manifest, or ``module:Class``.
        base: The required base class.
        described: How the message calls the base class; its name by default.
        label: How the message calls the key; the key itself by default.

    Raises:
        ConfigError: If it cannot be imported or is not such a class.
    """
    found = load_named(key, name, label=label)
    if not (isinstance(found, type) and issubclass(found, base)):
        needed = described or base.__name__
        raise ConfigError(f"{label or key} is '{name}', but must be a class derived from {needed}")
    return found


def import_named(key: str, text: str, folders: Sequence[Path] = ()) -> Any:
    """Import a module and return its object with a name; None if it has none.

    A module is looked up in Python's import path, the given folders, and the current working
    directory.

    Args:
        key: The key that names it, for the message.
        text: ``module:name``.
        folders: Folders searched first.

    Raises:
        ConfigError: If importing the module fails.
    """
    module_name, _, name = text.partition(":")
    added = [str(folder) for folder in (*folders, Path.cwd()) if str(folder) not in sys.path]
    sys.path[:0] = added
    try:
        module = importlib.import_module(module_name)
        _check_file(key, text, module, folders)
        return getattr(module, name, None)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{key} is '{text}', but importing it fails: {said(error)}") from error
    finally:
        for folder in added:
            sys.path.remove(folder)


def _check_file(key: str, text: str, module: ModuleType, folders: Sequence[Path]) -> None:
    """Reject a module that was already loaded from a file other than the intended one.

    Raises:
        ConfigError: If it was; names both files.
    """
    loaded = Path(module.__file__ or "").resolve()
    found = (module_file(module.__name__, folder) for folder in folders)
    meant = next((file for file in found if file is not None), None)
    if meant is not None and meant.resolve() != loaded:
        raise ConfigError(
            f"{key} is '{text}', but module '{module.__name__}' is loaded from '{loaded}' "
            f"already, and '{meant}' is another one; give one of them another name"
        )


def module_file(name: str, folder: Path) -> Path | None:
    """Return the file of a module in a folder; None if it is not there.

    Args:
        name: The module's name, with or without dots.
        folder: The folder that contains it or its outermost package.
    """
    path = folder.joinpath(*name.split("."))
    files = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def said(error: BaseException) -> str:
    """Return the message of an error in custom code, in one line."""
    if isinstance(error, SystemExit):  # would end the program without a message
        return f"it calls sys.exit ({shown(error.code)})"
    return brief(" ".join(str(error).split()) or type(error).__name__)


def declared_reads(key: str, text: str) -> Sequence[str] | None:
    """Return the keys that a custom part declares it reads; None if it declares none.

    Args:
        key: The key that names the part.
        text: Its name, or ``module:Class``.

    Raises:
        ConfigError: If importing the module fails.
    """
    reads: Sequence[str] | None = getattr(load_named(key, text), "reads", None)
    return (reads,) if isinstance(reads, str) else reads
