"""Values that a user expects to be good: those of the first sampled trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tune_nas.sweep.equal_values import equal, number_of
from tune_nas.text import shown


def prior_value(kind: str, values: Sequence[object], prior: object) -> object:
    """Return a prior as a value of a key: a listed value, or a number within a range.

    Args:
        kind: The form of the key's values, e.g. ``loguniform``.
        values: The listed values, or the ends of the range.
        prior: The prior as YAML reads it.

    Raises:
        ValueError: If the key cannot have this value.
    """
    if kind in ("grid", "choice"):
        for value in values:
            if equal(value, prior):
                return value
        raise ValueError(f"prior is {shown(prior)}, but must be one of {shown(values)}")
    low, high = (float(str(end)) for end in values)
    number = number_of(prior)
    if number is None or not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"prior is {shown(prior)}, but must be in {kind}: {shown(values)}")
    if kind != "int":
        return float(number)
    if number != int(number):
        raise ValueError(f"prior is {shown(prior)}, but must be a whole number")
    return int(number)


def priors_of(content: Mapping[str, object]) -> list[object] | None:
    """Return the priors of a key as a list; None if there are none.

    One value may stand for a list with one. That of a choice may itself be a list.

    Args:
        content: The key's forms in YAML.
    """
    prior = content.get("prior")
    if prior is None:
        return None
    listed = content.get("choice") or content.get("grid")
    values = listed if isinstance(listed, list) else []
    if isinstance(prior, list) and not any(equal(prior, value) for value in values):
        return prior
    return [prior]
