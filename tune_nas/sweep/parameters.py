"""The swept keys of a sweep: their values, and the conditions on other values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from pydantic import Field, model_validator

from tune_nas.config import Section
from tune_nas.sweep.equal_values import equal, equal_pair
from tune_nas.sweep.priors import prior_value, priors_of
from tune_nas.text import brief, plain_text, shown

MOST_TRIALS = 10_000  # of a sweep; a larger number is a mistake, and creating them would not end
TRIAL = "trial"  # the key that stands for the trial itself
_KINDS = ("grid", "choice", "uniform", "loguniform", "int")
_RANGES = ("uniform", "loguniform", "int")

Fixed = Callable[[Mapping[str, object]], Mapping[str, object]]
"""Values of keys that are not swept but that conditions may name, given the chosen ones."""


class Parameter(Section):
    """The values of one swept key, in exactly one of five forms.

    Args:
        grid: Every one of these values.
        choice: These values, sampled by random and tpe; a grid runs every one.
        uniform: ``[low, high]``.
        loguniform: ``[low, high]``, uniform in the logarithm; low > 0.
        int: ``[low, high]``, both included.
        when: The parameter is active only if these keys have this value, or one of these values,
            e.g. ``{update.level: mixed}``.
        prior: The value of the first sampled trial, or those of the first trials.
    """

    grid: list[object] | None = Field(default=None, min_length=1, max_length=MOST_TRIALS)
    choice: list[object] | None = Field(default=None, min_length=1, max_length=MOST_TRIALS)
    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    int_: tuple[int, int] | None = Field(default=None, alias="int")
    when: dict[str, object] = Field(default_factory=dict)
    prior: list[object] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _list_of_priors(cls, content: object) -> object:
        priors = priors_of(content) if isinstance(content, Mapping) else None
        return content if priors is None else {**content, "prior": priors}  # type: ignore[dict-item]

    @model_validator(mode="after")
    def _one_form(self) -> Parameter:
        given = [kind for kind, value in self._forms().items() if value is not None]
        if len(given) != 1:
            has = f"has {' and '.join(given)}" if given else "has none"
            raise ValueError(f"a parameter takes exactly one of {', '.join(_KINDS)}, but {has}")
        ends = self.uniform or self.loguniform or self.int_
        if ends is not None:
            low, high = ends
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"{self.kind} is [{low}, {high}], but must be finite, low < high")
            if self.kind == "loguniform" and low <= 0:
                raise ValueError(f"loguniform is [{low}, {high}], but low must be > 0")
        elif (pair := equal_pair(self.values)) is not None:
            first, second = map(shown, pair)
            same = "a value twice" if first == second else f"{first} and {second}, one value"
            raise ValueError(f"{self.kind} has {same}: {shown(self.values)}; give each value once")
        for prior in self.prior:
            prior_value(self.kind, self.values, prior)
        return self

    @property
    def kind(self) -> str:
        """The form of the parameter."""
        return next(kind for kind, value in self._forms().items() if value is not None)

    @property
    def is_range(self) -> bool:
        """Whether the values are a range, which a grid cannot enumerate."""
        return self.kind in _RANGES

    @property
    def values(self) -> list[object]:
        """The listed values, or the two ends of a range."""
        return list(self._forms()[self.kind] or ())

    @property
    def priors(self) -> list[object]:
        """The values of the first sampled trials; fewer than trials, or none."""
        return [prior_value(self.kind, self.values, prior) for prior in self.prior]

    def active(self, chosen: Mapping[str, object]) -> bool:
        """Return whether the conditions are met, given the values of the keys that they name."""
        return all(meets(chosen.get(key), wanted) for key, wanted in self.when.items())

    def to_dict(self) -> dict[str, object]:
        """Return the form, with conditions and priors if there are any."""
        content: dict[str, object] = {self.kind: self.values}
        content |= {"when": dict(self.when)} if self.when else {}
        return content | ({"prior": list(self.prior)} if self.prior else {})

    def _forms(self) -> dict[str, Sequence[object] | None]:
        return {
            "grid": self.grid,
            "choice": self.choice,
            "uniform": self.uniform,
            "loguniform": self.loguniform,
            "int": self.int_,
        }


def meets(value: object, wanted: object) -> bool:
    """Return whether a value is the one that a condition requires, or one of several."""
    return any(equal(value, each) for each in (wanted if isinstance(wanted, list) else [wanted]))


def ordered(parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the keys, the trial first, such that each follows those that its conditions name.

    Raises:
        ValueError: If conditions form a circle.
    """
    keys = [key for key in parameters if key == TRIAL]
    while len(keys) < len(parameters):
        ready = [
            key
            for key, parameter in parameters.items()
            if key not in keys
            and all(other in keys for other in parameter.when if other in parameters)
        ]
        if not ready:
            circle = ", ".join(key for key in parameters if key not in keys)
            raise ValueError(f"the conditions (when) of {circle} depend on each other in a circle")
        keys.append(ready[0])
    return keys


def first_values(parameters: Mapping[str, Parameter]) -> list[dict[str, object]]:
    """Return the values that are given for the first sampled trials; other keys are sampled.

    The first trial has the first prior of every key that has one, the second the second, ...
    """
    priors = {key: parameter.priors for key, parameter in parameters.items()}
    count = max(map(len, priors.values()), default=0)
    return [
        {key: values[index] for key, values in priors.items() if index < len(values)}
        for index in range(count)
    ]


def check_conditions(
    parameters: Mapping[str, Parameter], fixed: Sequence[Mapping[str, object]]
) -> None:
    """Reject a condition on a value that its key never has: it would never be met.

    Args:
        parameters: Swept keys.
        fixed: For each trial that is varied, the values of its keys.

    Raises:
        ValueError: Names the parameter, its condition, and the values that the key has.
    """
    for key, parameter in parameters.items():
        for other, wanted in parameter.when.items():
            swept = parameters.get(other)
            if swept is not None and swept.is_range:
                continue
            values = [trial.get(other) for trial in fixed] if swept is None else swept.values
            if not any(meets(value, wanted) for value in values):
                has = ", ".join(dict.fromkeys(plain_text(value) for value in values))
                raise ValueError(
                    f"{key} has the condition (when) {other}: {plain_text(wanted)}, which never "
                    f"holds: {other} is {brief(has)}"
                )


def count_combinations(parameters: Mapping[str, Parameter], fixed: Fixed, most: int) -> int:
    """Count the results of `combinations`, exactly up to a limit; beyond it, some larger number.

    Only keys that take part in conditions are enumerated, and only up to that limit.

    Args:
        parameters: Swept keys.
        fixed: As for `combinations`.
        most: The limit.
    """
    linked = {key for key, parameter in parameters.items() if parameter.when}
    linked |= {other for key in linked for other in parameters[key].when if other in parameters}
    if linked and TRIAL in parameters:  # values of keys that are not swept depend on it
        linked.add(TRIAL)
    free = math.prod(len(p.values) for key, p in parameters.items() if key not in linked)
    if free > most:
        return free
    points = combinations({key: p for key, p in parameters.items() if key in linked}, fixed)
    return free * sum(1 for _ in itertools.islice(points, most // free + 1))


def combinations(parameters: Mapping[str, Parameter], fixed: Fixed) -> Iterator[dict[str, object]]:
    """Yield every combination of values that the conditions allow; for a range, its two ends.

    Args:
        parameters: Swept keys.
        fixed: Returns the values of keys that are not swept, given those chosen so far.
    """
    keys = ordered(parameters)

    def extend(chosen: dict[str, object], rest: list[str]) -> Iterator[dict[str, object]]:
        if not rest:
            yield {key: chosen[key] for key in parameters if key in chosen}
            return
        parameter = parameters[rest[0]]
        if not parameter.active({**fixed(chosen), **chosen}):
            yield from extend(chosen, rest[1:])
            return
        for value in parameter.values:
            yield from extend({**chosen, rest[0]: value}, rest[1:])

    yield from extend({}, keys)
