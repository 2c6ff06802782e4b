"""The order of configurations: which one is best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tune_nas.pareto import domination_ranks
from tune_nas.report.labels import SweptValue, order_key
from tune_nas.report.objectives import Objective


@dataclass(frozen=True)
class Ranked:
    """A configuration to be ranked.

    Args:
        means: Mean of each objective over its seeds.
        values: The swept values, as `normalize` returns them, in the order of the swept keys.
        diverged: Whether one of its seeds has diverged.
        survived: Number of seeds after which it was dropped from a race; inf if it was not.
    """

    means: tuple[float, ...]
    values: tuple[SweptValue, ...]
    diverged: bool
    survived: float = math.inf


def best_first(configurations: Sequence[Ranked], objectives: Sequence[Objective]) -> list[int]:
    """Return the indices of the configurations, the best one first.

    With one objective, by `rank_key`. With several, by non-dominated rank (`fronts_of`) first, so
    the front comes before all others, and by `rank_key` of the first objective within a rank.
    """
    ranks = fronts_of(configurations, objectives)

    def key(index: int) -> tuple[object, ...]:
        own = configurations[index]
        by_first = rank_key(
            *(own.means[0], own.values),
            mode=objectives[0].mode,
            diverged=own.diverged,
            survived=own.survived,
        )
        return (own.diverged, ranks[index], by_first)

    return sorted(range(len(configurations)), key=key)


def fronts_of(configurations: Sequence[Ranked], objectives: Sequence[Objective]) -> list[int]:
    """Return the non-dominated rank of each configuration: 0 on the Pareto front.

    Diverged configurations dominate no others: their ranks are among themselves. All ranks are 0
    with a single objective, which `rank_key` orders.
    """
    ranks = [0] * len(configurations)
    if len(objectives) < 2:
        return ranks
    modes = [objective.mode for objective in objectives]
    for diverged in (False, True):
        of_kind = [i for i, own in enumerate(configurations) if own.diverged is diverged]
        found = domination_ranks([configurations[i].means for i in of_kind], modes)
        for index, rank in zip(of_kind, found, strict=True):
            ranks[index] = rank
    return ranks


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
