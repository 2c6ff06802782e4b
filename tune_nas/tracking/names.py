"""Keys and values in a form that MLflow and its databases accept."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping

from tune_nas.text import brief

_LONGEST_NAME, _LONGEST_PARAMETER, _LONGEST_TAG = 250, 6000, 8000  # characters
_EARLIER_NAME = re.compile(r"(search|repeat|retrain|analysis) (.* )?seed=(\d+)")


def entity_names(keys: Iterable[str]) -> dict[str, str]:
    """Return a name that MLflow accepts for each key; all names are legal and distinct.

    Equal keys always get equal names, so that a resumed run finds its parameters.

    Args:
        keys: Dotted keys; a path in a key may have any characters and any length.
    """
    names: dict[str, str] = {}
    for key in keys:
        name = _legal(key)
        if len(name) > _LONGEST_NAME or name in names.values():
            name = f"{name[: _LONGEST_NAME - 9]}-{hashlib.sha256(_bytes(key)).hexdigest()[:8]}"
        names[key] = name
    return names


def run_name(text: str) -> str:
    """Return the name of a run, truncated to the limit of databases."""
    return brief(_text(text), _LONGEST_NAME)


def present_name(text: str) -> str | None:
    """Return the name of a trial's run for the name that earlier versions gave it.

    ``search λ=1 seed=0`` is now ``λ=1 s0``, and ``retrain λ=1 seed=0`` is ``λ=1 s0 retrain``.
    Returns None for any other text.
    """
    found = _EARLIER_NAME.fullmatch(text)
    if found is None:
        return None
    phase, values, seed = found.groups(default="")
    shown = "" if phase == "search" and values else f" {phase}"
    return f"{values}s{seed}{shown}"


def parameter_value(text: str) -> str:
    """Return the value of a parameter, truncated to the limit of MLflow."""
    return brief(_text(text), _LONGEST_PARAMETER)


def tag_value(text: str) -> str:
    """Return the value of a tag, truncated to the limit of MLflow."""
    return brief(_text(text), _LONGEST_TAG)


def flatten(content: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested mappings as one with dotted keys, e.g. ``{"update.lambda": 1.0}``."""
    flat: dict[str, object] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def plain(value: object) -> object:
    """Return nested containers with numbers, booleans and None kept, and the rest as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


def as_text(value: object) -> str:
    """Return a parameter as in YAML: ``null``, ``true``, ``[0.5, 0.999]``; text unchanged."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_text(entry) for entry in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {as_text(entry)}' for key, entry in value.items())}}}"
    return str(value)


def _legal(key: str) -> str:
    """Return a key with the characters that MLflow accepts, as a normalized relative path."""
    path = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", key)).strip("/")
    return f"_{path}" if path in ("", ".", "..") or path.startswith("../") else path


def _text(text: str) -> str:
    """Return a text without null characters and lone surrogates, which databases reject."""
    return _bytes(text).decode().replace("\0", "\\0")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
