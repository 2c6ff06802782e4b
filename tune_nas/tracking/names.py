"""Keys and values in the form that MLflow accepts them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

_LONGEST = 250  # characters of a name


def legal_name(key: str) -> str:
    """Return a key as a name that MLflow accepts: other characters become ``_``.

    A name may hold letters, digits, ``_``, ``-``, ``.``, space, ``:`` and ``/``, must be a
    normalized relative path, and has at most 250 characters.
    """
    name = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", key)).lstrip("/")
    if name.startswith(".."):
        name = name.replace("..", "_")
    return name[:_LONGEST].rstrip("/") if name not in ("", ".") else "_"


def legal_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the legal name of each key; of keys with the same one, the later get a number."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        name, number = legal_name(key), 1
        while name in taken:
            number += 1
            suffix = f"_{number}"
            name = legal_name(key)[: _LONGEST - len(suffix)] + suffix
        taken.add(name)
        names[key] = name
    return names


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one with dotted keys, e.g. ``{"update.lambda": 1.0}``."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def plain(value: Any) -> Any:
    """Return nested containers with numbers, booleans and None kept, and all else as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


def as_text(value: Any) -> str:
    """Return a parameter as YAML has it: ``null``, ``true``, ``[0.5, 0.999]``; text unchanged."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_text(entry) for entry in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {as_text(entry)}' for key, entry in value.items())}}}"
    return str(value)
