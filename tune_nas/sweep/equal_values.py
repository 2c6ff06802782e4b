"""Whether two values of a YAML list are one value to a trial, or to Python."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

_TRUTH = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}
"""Texts that pydantic reads as booleans, in lower case."""


def equal(first: object, second: object) -> bool:
    """Return whether two values are one value to a trial.

    They are if they are equal in Python (0, 0.0 and false), if one is the text of the other (1e-3,
    which YAML reads as text, and 0.001), or if they are lists or mappings of such values.
    """
    words = isinstance(first, bool) or isinstance(second, bool)
    return _key(first, words) == _key(second, words)


def equal_pair(values: Iterable[object]) -> tuple[object, object] | None:
    """Return the first two values of a list that are one value to a trial; None if there are none.

    Args:
        values: The list.
    """
    listed = list(values)
    words = any(isinstance(value, bool) for value in listed)
    known: dict[Hashable, object] = {}
    for value in listed:
        key = _key(value, words)
        if key in known:
            return known[key], value
        known[key] = value
    return None


def has_mapping(value: object) -> bool:
    """Return whether a value is a mapping, or a list with one at any depth."""
    return isinstance(value, Mapping) or (isinstance(value, list) and any(map(has_mapping, value)))


def number_of(value: object) -> int | float | None:
    """Return the number that a value is, or is the text of; None if there is none.

    Args:
        value: A value as YAML reads it; a boolean is not a number here.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return None


def _key(value: object, words: bool) -> Hashable:
    """Return what identifies a value; texts of booleans are booleans if ``words``."""
    if isinstance(value, Mapping):
        entries = (f"{key!r}: {_key(entry, words)!r}" for key, entry in value.items())
        return "mapping", *sorted(entries)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "list", *(_key(entry, words) for entry in value)
    if words and isinstance(value, str) and value.strip().lower() in _TRUTH:
        return _TRUTH[value.strip().lower()]
    number = number_of(value)
    if number is None:
        return value if isinstance(value, Hashable) else repr(value)
    return "nan" if math.isnan(number) else number
