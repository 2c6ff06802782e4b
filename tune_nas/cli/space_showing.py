"""The content of a space for `tune-nas show`."""

from __future__ import annotations

from tune_nas.spaces import load_space


def space_content(name: str) -> dict[str, object]:
    """Return every key of a space with its value."""
    return load_space(name).to_dict()
