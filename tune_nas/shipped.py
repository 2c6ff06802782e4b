"""The shipped trials, sweeps and spaces by name; what kind a file is; near names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from tune_nas.errors import ConfigError
from tune_nas.paths import expanded, is_file
from tune_nas.text import brief

KINDS = ("trial", "space", "sweep")

_FOLDERS = {
    "space": "search_spaces/architectures",
    "sweep": "search_spaces/sweeps",
    "trial": "trials",
}
_USE = {
    "space": "give it as `space.name` {name}",
    "sweep": "run it with: tune-nas sweep {name}",
    "trial": "run it with: tune-nas search {name}",
}
_OWN_KEYS = {"parameters": "sweep", "cells": "space"}  # keys of a file of one kind alone


def shipped_folder(kind: str) -> Path:
    """Return the folder of the built-in ``space``, ``sweep`` or ``trial`` files.

    It is inside the package if installed from a wheel, else next to it in the checkout.
    """
    package = Path(__file__).parent
    in_wheel = package / "_shipped" / _FOLDERS[kind]
    return in_wheel if in_wheel.is_dir() else package.parent / _FOLDERS[kind]


def shipped_names(kind: str) -> list[str]:
    """Return the sorted names of the built-in files of a kind."""
    return sorted(path.stem for path in shipped_folder(kind).glob("*.yaml"))


def find(kind: str, name: str | Path) -> Path:
    """Return the file of a built-in name or of a path.

    Raises:
        ConfigError: If there is neither: says if the name is of another kind, else names the
            nearest built-in one.
    """
    text = str(name)
    known = shipped_names(kind)
    if text in known:
        return shipped_folder(kind) / f"{text}.yaml"
    path = expanded(text)
    if is_file(path):
        return path
    for other in KINDS:
        if text in shipped_names(other):
            raise ConfigError(_is_other(text, other, kind))
    near = nearest(text, known) or f"; see `tune-nas list {kind}s`"
    raise ConfigError(f"{kind} '{brief(text)}' is neither a file nor a shipped {kind}{near}")


def kind_of(content: Mapping[str, object]) -> str:
    """Return ``trial``, ``space`` or ``sweep``, by the keys that only files of one kind have."""
    return next((kind for key, kind in _OWN_KEYS.items() if key in content), "trial")


def check_kind(content: Mapping[str, object], kind: str, name: str | Path) -> None:
    """Raise a ConfigError if the content of a file is of another kind than expected.

    Args:
        content: The keys of the file.
        kind: The expected kind.
        name: Its name or path, as the user gave it.
    """
    found = kind_of(content)
    sections = {"space", "relaxation", "update", "schedule", "selection", "optimizer", "strategy"}
    if found == "trial" != kind and not sections & content.keys():
        return  # of no known kind: the keys themselves are reported
    if found != kind:
        raise ConfigError(_is_other(str(name), found, kind))


def nearest(text: str, known: list[str]) -> str:
    """Return ``; did you mean '…'?`` if a known text is near, else an empty string.

    Compares whole keys first, then last parts: e.g. ``lamda`` finds ``update.lambda``.
    """
    by_last = {key.rsplit(".", 1)[-1]: key for key in reversed(known)}
    whole = difflib.get_close_matches(text, known, n=1, cutoff=0.75)
    last = difflib.get_close_matches(text.rsplit(".", 1)[-1], list(by_last), n=1, cutoff=0.6)
    match = whole[0] if whole else by_last[last[0]] if last else None
    return f"; did you mean '{match}'?" if match else ""


def _is_other(name: str, found: str, wanted: str) -> str:
    use = _USE[found].format(name=name)
    return f"'{brief(name)}' is a {found}, not a {wanted}; {use}"
