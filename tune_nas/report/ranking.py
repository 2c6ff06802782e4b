"""The order of configurations: which one is best."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tune_nas.report.labels import SweptValue, order_key


def rank_key(
    mean: float,
    values: Iterable[SweptValue],
    *,
    mode: str,
    diverged: bool = False,
    survived: float = math.inf,
) -> tuple[bool, float, float, list[tuple[int, float, str]]]:
    """Return the sort key of a configuration; the best one is first.

    A configuration with a diverged seed is after all others, since the mean of its other seeds is
    not comparable. One that was dropped from a race is after those that stayed in it longer: its
    mean is over fewer seeds. Equal means are in the order of the swept values.

    Args:
        mean: Mean of the ranked metric.
        values: The swept values, as `normalize` returns them, in the order of the swept keys.
        mode: Whether the largest (``max``) or the smallest (``min``) mean is best.
        diverged: Whether one of its seeds has diverged.
        survived: Number of seeds after which it was dropped from a race; inf if it was not.
    """
    order = [order_key(value) for value in values]
    return diverged, -survived, -mean if mode == "max" else mean, order
