"""The scale of a swept key's values: numeric, logarithmic, or equally spaced."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tune_nas.report.labels import SweptValue, order_key, value_label

MOST_CATEGORIES = 6
"""More different numbers than this are on a numeric scale."""
MISSING = -0.14
"""Position of a value that does not exist."""
LOGARITHMIC_FROM = 30
"""Largest over smallest value from which a scale is logarithmic."""


@dataclass(frozen=True)
class ValueScale:
    """Positions of values from 0 to 1.

    Args:
        values: The distinct values in order: numbers by size with inf last, then text; without
            None.
        numeric: Whether the positions follow the numbers; otherwise values are equally spaced.
        logarithmic: Whether they follow their logarithms.
    """

    values: tuple[SweptValue, ...]
    numeric: bool
    logarithmic: bool

    def number(self, value: SweptValue) -> float:
        """Return a value of a numeric scale as a number, its logarithm (base 10) if logarithmic."""
        if not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not on a numeric scale")
        return math.log10(value) if self.logarithmic else float(value)

    def position(self, value: SweptValue) -> float:
        """Return the position of one of the values; `MISSING` for None."""
        if value is None:
            return MISSING
        if not self.numeric:
            last = len(self.values) - 1
            return self.values.index(value) / last if last else 0.5
        low, high = self.number(self.values[0]), self.number(self.values[-1])
        return (self.number(value) - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return positions with labels: each value, or the ends and the middle of the numbers."""
        if not self.numeric:
            return [(self.position(value), value_label(value)) for value in self.values]
        low, high = self.number(self.values[0]), self.number(self.values[-1])
        middle = (low + high) / 2
        numbers = [10**at if self.logarithmic else at for at in (low, middle, high)]
        return [
            (share, f"{number:.2g}") for share, number in zip((0, 0.5, 1), numbers, strict=True)
        ]


def scale_of(values: Iterable[SweptValue]) -> ValueScale:
    """Return the scale of values: numeric for more than six different finite numbers."""
    distinct = tuple(sorted({value for value in values if value is not None}, key=order_key))
    numbers = [value for value in distinct if isinstance(value, int | float)]
    numeric = len(numbers) == len(distinct) > MOST_CATEGORIES and all(map(math.isfinite, numbers))
    logarithmic = numeric and numbers[0] > 0 and numbers[-1] / numbers[0] >= LOGARITHMIC_FROM
    return ValueScale(distinct, numeric, logarithmic)
