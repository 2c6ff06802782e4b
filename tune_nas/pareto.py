"""The Pareto front: the points that no other point improves on in every objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Mode = Literal["max", "min"]


def pareto_front(points: Sequence[Sequence[float]], modes: Sequence[Mode]) -> list[int]:
    """Return the indices of the non-dominated points, in their order.

    A point is dominated if another one is at least as good in every objective and better in one.
    Equal points do not dominate each other.

    Args:
        points: n points with a finite value of each of the k objectives.
        modes: For each objective, whether the largest (``max``) or smallest (``min``) is best.
    """
    signs = [1.0 if mode == "max" else -1.0 for mode in modes]
    oriented = [
        tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in points
    ]

    def dominated(own: tuple[float, ...]) -> bool:
        return any(
            other != own and all(o >= value for o, value in zip(other, own, strict=True))
            for other in oriented
        )

    return [number for number, own in enumerate(oriented) if not dominated(own)]
