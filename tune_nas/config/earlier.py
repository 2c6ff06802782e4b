"""Trials stored by earlier versions: the rules they ran by, where a key did not exist yet.

A stored trial (of a sweep's plan, a record or a checkpoint) has every key of the version that wrote
it. Where the default of a newer key is another rule than the one before, a search or a sweep that
is resumed keeps the rule it was started with: no result mixes the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class _NewKey(NamedTuple):
    """A key whose default is not what trials did before it existed.

    Args:
        section: The sections that it is in.
        name: The key in its section.
        kind: The section whose kind reads it, and that kind.
        before: The value that stands for the rule of earlier versions.
    """

    section: tuple[str, ...]
    name: str
    kind: tuple[str, str]
    before: str


_NEW_KEYS = (
    _NewKey(("selection", "perturbation"), "edges", ("selection", "perturbation"), "one-by-one"),
    _NewKey(("relaxation",), "unsampled", ("relaxation", "gumbel"), "as-numbers"),
)


def earlier_rules(stored: Mapping[str, Any]) -> dict[str, str]:
    """Return, by dotted key, the rules of earlier versions that a stored trial ran by.

    Empty for a trial that has all keys, or whose kinds do not read the ones that are missing.
    """
    found = {}
    for key in _NEW_KEYS:
        section, kind = key.kind
        held: Any = stored
        for part in key.section:
            held = held.get(part) if isinstance(held, Mapping) else None
        reads = isinstance(held, Mapping) and stored[section].get("kind") == kind
        if reads and key.name not in held:
            found[".".join([*key.section, key.name])] = key.before
    return found
