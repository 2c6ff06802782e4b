"""The objectives of a sweep and the constraints on its trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tune_nas.pareto import Mode
from tune_nas.report.labels import metric_name

PARAMETERS = "genotype/parameters"


@dataclass(frozen=True)
class Objective:
    """A metric to maximize or to minimize.

    Args:
        key: The metric.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.
        reference: Its value at the reference point of the hypervolume; None for one that follows
            from the results.
    """

    key: str
    mode: Mode
    reference: float | None = None


@dataclass(frozen=True)
class Constraint:
    """A bound of a metric, which is met at the bound too.

    Args:
        key: The metric.
        at_most: Whether it is an upper bound (``<=``) or a lower one (``>=``).
        bound: The bound.
    """

    key: str
    at_most: bool
    bound: float

    @property
    def words(self) -> str:
        """The constraint in a sentence, e.g. ``number of parameters <= 3,500,000``."""
        name = metric_name(self.key)
        sign = "<=" if self.at_most else ">="
        bound = f"{self.bound:,.0f}" if float(self.bound).is_integer() else f"{self.bound:,g}"
        return f"{name.words} {sign} {bound}{name.unit}"

    def excess(self, value: float | None) -> float:
        """Return by how much a value violates the bound, at most 0 if it does not; inf for None."""
        if value is None or not math.isfinite(value):
            return math.inf
        return value - self.bound if self.at_most else self.bound - value


def metrics_of(objectives: Iterable[Objective], constraints: Iterable[Constraint]) -> list[str]:
    """Return the metrics that decide a ranking, the first objective first, each once."""
    bounded = [constraint.key for constraint in constraints]
    return list(dict.fromkeys([*(objective.key for objective in objectives), *bounded]))


def meets_all(constraints: Iterable[Constraint], value: Callable[[str], float | None]) -> bool:
    """Return whether all constraints are met.

    Args:
        constraints: The constraints.
        value: Returns the value of a metric; None if it is not known.
    """
    return all(constraint.excess(value(constraint.key)) <= 0 for constraint in constraints)
