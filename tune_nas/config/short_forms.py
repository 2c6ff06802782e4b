"""Sections of a trial that can be written as one word."""

from __future__ import annotations

from collections.abc import Mapping

_NAMED = ("space", "data")
_SIMULATED = {"simulate": "cifar10"}


def long_form(section: str, value: object) -> object:
    """Return a section written as a word as a mapping; everything else unchanged.

    ``space: darts`` means ``space: {name: darts}``, likewise for data, and ``benchmark: simulate``
    means ``benchmark: {simulate: cifar10}``.

    Args:
        section: Name of the section.
        value: Its content.
    """
    if section in _NAMED and isinstance(value, str):
        return {"name": value}
    if section == "benchmark" and value == "simulate":
        return dict(_SIMULATED)
    return value


def with_long_forms(content: Mapping[str, object]) -> dict[str, object]:
    """Return a trial in which every section is a mapping."""
    return {key: long_form(key, value) for key, value in content.items()}
