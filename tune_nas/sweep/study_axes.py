"""The swept keys as Optuna's plots show them: numbers on numeric axes, also where they are listed.

Optuna's dashboard sorts the values of a categorical parameter as text: 10.0 before 3.0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_nas.sweep.equal_values import equal, number_of
from tune_nas.sweep.parameters import Parameter

_LOG_FROM = 10.0  # ratio of the largest to the smallest number of a list with a logarithmic axis


@dataclass(frozen=True)
class Axis:
    """A swept key in the study that is written for inspection.

    Args:
        distribution: Its range, or its categories.
        values: The listed values of categories, in the order of the categories.
        infinity: The number that stands for inf; None if the list has no inf.
    """

    distribution: BaseDistribution
    values: tuple[object, ...] = ()
    infinity: float | None = None

    def of(self, value: object) -> object:
        """Return the study's entry for a value of a trial."""
        if isinstance(self.distribution, CategoricalDistribution):
            index = next(i for i, listed in enumerate(self.values) if equal(listed, value))
            return self.distribution.choices[index]
        number = number_of(value)
        assert number is not None  # a list with another value has categories
        if math.isinf(number) and self.infinity is not None:
            return self.infinity
        return int(number) if isinstance(self.distribution, IntDistribution) else float(number)


def axis_of(parameter: Parameter) -> Axis:
    """Return the axis of a swept key.

    A list of numbers is a range from the smallest to the largest, with a logarithmic axis if all
    are > 0 and the largest is at least 10 times the smallest. inf cannot be shown on an axis: a
    number beyond the largest stands for it. A list with other values has categories.

    Args:
        parameter: The key's values.
    """
    numbers = [number_of(value) for value in parameter.values]
    known = [number for number in numbers if number is not None]
    finite = [number for number in known if math.isfinite(number)]
    listed = not parameter.is_range
    infinite = [number for number in known if not math.isfinite(number)]
    if not finite or len(known) < len(numbers) or any(n != math.inf for n in infinite):
        return _categories(parameter)
    low, high = min(finite), max(finite)
    log = parameter.kind == "loguniform" or (listed and 0 < low * _LOG_FROM <= high)
    if all(isinstance(number, int) for number in known) and parameter.kind not in (
        "uniform",
        "loguniform",
    ):
        return Axis(IntDistribution(int(low), int(high), log=log))
    beyond = float(_LOG_FROM * high if log else high + (high - low or 1))
    infinity = beyond if infinite else None
    top = high if infinity is None else infinity
    return Axis(FloatDistribution(float(low), float(top), log=log), infinity=infinity)


def _categories(parameter: Parameter) -> Axis:
    values = tuple(parameter.values)
    shown = [value if isinstance(value, bool | str) else _text(value) for value in values]
    return Axis(CategoricalDistribution(shown), values)


def _text(value: object) -> str:
    return "null" if value is None else str(value)
