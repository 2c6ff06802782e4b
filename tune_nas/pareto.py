"""The Pareto front of several objectives, the fronts behind it, and the volume it dominates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Mode = Literal["max", "min"]

_Point = tuple[float, ...]


def pareto_front(points: Sequence[Sequence[float]], modes: Sequence[Mode]) -> list[int]:
    """Return the indices of the non-dominated points, in their order.

    A point is dominated if another one is at least as good in every objective and better in one.
    Equal points do not dominate each other.

    Args:
        points: n points with a finite value of each of the k objectives.
        modes: For each objective, whether the largest (``max``) or smallest (``min``) is best.
    """
    oriented = _oriented(points, modes)
    front = _front(oriented)
    return [number for number, own in enumerate(oriented) if own in front]


def domination_ranks(points: Sequence[Sequence[float]], modes: Sequence[Mode]) -> list[int]:
    """Return the rank of each point: 0 on the front, 1 on the front without those, and so on.

    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002, Sec. III-A.

    Args:
        points: See `pareto_front`.
        modes: See `pareto_front`.
    """
    oriented = _oriented(points, modes)
    left, rank_of, rank = set(oriented), dict[_Point, int](), 0
    while left:
        front = _front(left)
        rank_of.update(dict.fromkeys(front, rank))
        left -= front
        rank += 1
    return [rank_of[point] for point in oriented]


def hypervolume(
    points: Sequence[Sequence[float]], modes: Sequence[Mode], reference: Sequence[float]
) -> float:
    """Return the volume of all values that a point dominates and that dominate the reference point.

    It is exact. Points that are not better than the reference point in every objective add nothing.
    Sliced by the last objective, down to areas (While et al., "A faster algorithm for calculating
    hypervolume", IEEE Transactions on Evolutionary Computation, 2006): O(n log n) for two
    objectives, O(n² log n) for three, n times more for each further one.

    Args:
        points: See `pareto_front`; dominated ones change nothing.
        modes: See `pareto_front`.
        reference: The reference point, (k,).
    """
    (origin,) = _oriented([reference], modes)
    extents = [
        tuple(value - least for value, least in zip(point, origin, strict=True))
        for point in _front(_oriented(points, modes))
    ]
    return _volume([extent for extent in extents if min(extent) > 0])


def _oriented(points: Sequence[Sequence[float]], modes: Sequence[Mode]) -> list[_Point]:
    """Return the points with the signs with which the largest values are best."""
    signs = [1.0 if mode == "max" else -1.0 for mode in modes]
    return [
        tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in points
    ]


def _front(points: Sequence[_Point] | set[_Point]) -> set[_Point]:
    """Return the distinct non-dominated points.

    A point comes after all that dominate it, and one of these is on the front: it is enough to
    compare each point with the front so far.
    """
    front: list[_Point] = []
    for own in sorted(set(points), reverse=True):
        if not any(all(o >= v for o, v in zip(other, own, strict=True)) for other in front):
            front.append(own)
    return set(front)


def _volume(extents: Sequence[_Point]) -> float:
    """Return the volume of the union of boxes from the origin to each of the points."""
    if not extents:
        return 0.0
    if len(extents[0]) == 1:
        return max(extent[0] for extent in extents)
    if len(extents[0]) == 2:
        return _area(extents)
    deepest = sorted(extents, key=lambda extent: extent[-1], reverse=True)
    total = 0.0
    for number, own in enumerate(deepest):
        end = deepest[number + 1][-1] if number + 1 < len(deepest) else 0.0
        if own[-1] > end:
            slices = [extent[:-1] for extent in deepest[: number + 1]]
            total += (own[-1] - end) * _volume(slices)
    return total


def _area(extents: Sequence[_Point]) -> float:
    total, height = 0.0, 0.0
    for x, y in sorted(extents, reverse=True):
        if y > height:
            total += x * (y - height)
            height = y
    return total
