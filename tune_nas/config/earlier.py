"""Trials stored by earlier versions: the behavior they had before a key existed.

A stored trial (of a sweep's plan, a record or a checkpoint) has every key of the version that wrote
it. If the default of a newer key changes the behavior, a resumed search or sweep keeps the behavior
it was started with, so that no result mixes the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class _NewKey(NamedTuple):
    """A key whose default differs from the behavior before it existed.

    Args:
        section: The sections that contain it.
        name: The key within its section.
        kind: The section whose kind reads it and that kind.
        before: The value that gives the behavior of earlier versions.
    """

    section: tuple[str, ...]
    name: str
    kind: tuple[str, str]
    before: str


_PUBLISHED_SIZE, _DIGITS_SIZE = 32, 8  # pixels

_NEW_KEYS = (
    _NewKey(("selection", "perturbation"), "edges", ("selection", "perturbation"), "one-by-one"),
    _NewKey(("relaxation",), "unsampled", ("relaxation", "gumbel"), "as-numbers"),
)


def earlier_rules(stored: Mapping[str, object]) -> dict[str, str | int]:
    """Return, by dotted key, the values that keep the behavior of the version of a stored trial.

    Empty for a trial that has all keys, or whose kinds do not read the missing ones. One exception:
    a retraining run whose cutout blanked whole images scales it, since it would otherwise be
    rejected.
    """
    found: dict[str, str | int] = {}
    if _blanks_images(stored):
        found["retrain.augment.reference_size"] = _PUBLISHED_SIZE
    for key in _NEW_KEYS:
        section, kind = key.kind
        held: object = stored
        for part in key.section:
            held = held.get(part) if isinstance(held, Mapping) else None
        own = stored.get(section)
        reads = isinstance(own, Mapping) and own.get("kind") == kind
        if reads and isinstance(held, Mapping) and key.name not in held:
            found[".".join([*key.section, key.name])] = key.before
    return found


def _blanks_images(stored: Mapping[str, object]) -> bool:
    """Return whether a trial from before `reference_size` could blank whole retraining images."""
    data, retrain = stored.get("data"), stored.get("retrain")
    augment = retrain.get("augment") if isinstance(retrain, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(augment, Mapping):
        return False
    side = data.get("resolution") or (_DIGITS_SIZE if data.get("name") == "digits" else None)
    padding, cutout = augment.get("crop_padding"), augment.get("cutout")
    if "reference_size" in augment or not isinstance(side, int):
        return False
    if not isinstance(padding, int) or not isinstance(cutout, int):
        return False
    return cutout > 0 and padding + cutout >= side
