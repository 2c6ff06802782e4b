"""Names and values as MLflow takes them: it refuses, or its databases do, what is longer or odd."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable

from tune_nas.text import brief

_LONGEST_NAME, _LONGEST_PARAMETER, _LONGEST_TAG = 250, 6000, 8000  # characters


def entity_names(keys: Iterable[str]) -> dict[str, str]:
    """Return the name under which MLflow takes each key: legal, and no two the same.

    A name is the same wherever the keys are: a resumed run finds its parameters again.

    Args:
        keys: Dotted keys; a path in one may have any character and any length.
    """
    names: dict[str, str] = {}
    for key in keys:
        name = _legal(key)
        if len(name) > _LONGEST_NAME or name in names.values():
            name = f"{name[: _LONGEST_NAME - 9]}-{hashlib.sha256(_bytes(key)).hexdigest()[:8]}"
        names[key] = name
    return names


def run_name(text: str) -> str:
    """Return the name of a run, cut to what databases take."""
    return brief(_text(text), _LONGEST_NAME)


def parameter_value(text: str) -> str:
    """Return the value of a parameter, cut to what MLflow takes."""
    return brief(_text(text), _LONGEST_PARAMETER)


def tag_value(text: str) -> str:
    """Return the value of a tag, cut to what MLflow takes."""
    return brief(_text(text), _LONGEST_TAG)


def _legal(key: str) -> str:
    """Return a key with the characters that MLflow takes, as a path that leads to itself."""
    path = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", key)).strip("/")
    return f"_{path}" if path in ("", ".", "..") or path.startswith("../") else path


def _text(text: str) -> str:
    """Return a text without what databases refuse: zero characters and halves of pairs."""
    return _bytes(text).decode().replace("\0", "\\0")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
