"""Fewer points for a line that looks the same, so that figures stay small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]

_MOST_POINTS = 1100  # of all lines of single trials in a figure
_LEAST = 6  # per line


def points_per_line(n_lines: int) -> int:
    """Return the number of points that each of n lines of a figure may have."""
    return max(_LEAST, _MOST_POINTS // max(n_lines, 1))


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most ``most`` of the points of a line, with its first and last one.

    The point that makes the smallest triangle with its neighbors is removed, again and again
    (Visvalingam and Whyatt, "Line generalization by repeated elimination of points", 1993): spikes
    stay. A line with values that are not finite is thinned evenly instead.

    Args:
        points: The points in order.
        most: At least 2.
    """
    if len(points) <= most:
        return list(points)
    line = np.asarray(points, dtype=float)
    if not np.isfinite(line).all():
        kept = np.unique(np.linspace(0, len(line) - 1, most).round().astype(int))
        return [points[int(at)] for at in kept]
    places = np.arange(len(line))
    while len(places) > most:
        before, own, after = line[places[:-2]], line[places[1:-1]], line[places[2:]]
        one, two = own - before, after - before
        areas = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
        places = np.delete(places, 1 + int(areas.argmin()))
    return [points[int(at)] for at in places]
