"""The spelling of several objectives and of constraints in a sweep's YAML file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tune_nas.config import Section
from tune_nas.report.objectives import PARAMETERS, Constraint, Objective
from tune_nas.text import plain_text

_SHORT = {"parameters": PARAMETERS, "multiply_adds": "genotype/multiply_adds"}
_CONSTRAINT = re.compile(r"\s*([\w/.@-]+)\s*(<=|>=)\s*([-+.\deE]+)\s*")


class ObjectiveConfig(Section):
    """One of several objectives.

    Args:
        name: The metric; ``parameters`` and ``multiply_adds`` are those of the genotype's network.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.
        reference: Its value at the reference point of the hypervolume, to compare the volumes of
            several sweeps. None: a tenth of the range of the results beyond the worst.
    """

    name: Annotated[str, Field(min_length=1)]
    mode: Literal["max", "min"]
    reference: Annotated[float | None, Field(allow_inf_nan=False)] = None

    @field_validator("name")
    @classmethod
    def _full_name(cls, value: str) -> str:
        return full_name(value)

    @property
    def objective(self) -> Objective:
        """The objective."""
        return Objective(self.name, self.mode, self.reference)


def full_name(metric: str) -> str:
    """Return the name of a metric, given that name or a short one."""
    return _SHORT.get(metric, metric)


def parse_constraint(text: str) -> Constraint:
    """Return the constraint that a text such as ``parameters <= 3.5e6`` gives.

    Raises:
        ValueError: If it is not a metric, ``<=`` or ``>=``, and a finite number.
    """
    found = _CONSTRAINT.fullmatch(text)
    try:
        name, sign, number = found.groups() if found else ("", "", "")
        bound = float(number)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise ValueError(
            f"'{plain_text(text)}' must be a metric, <= or >=, and a number, e.g. "
            "parameters <= 3.5e6"
        )
    return Constraint(full_name(name), sign == "<=", bound)


def with_first_objective(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a sweep whose ``metric`` and ``mode`` are those of the first objective.

    Raises:
        ValueError: If ``metric`` or ``mode`` is given beside ``metrics``.
    """
    own, metrics = dict(content), content.get("metrics")
    if metrics is None:
        return own
    for key in ("metric", "mode"):
        if key in own:
            raise ValueError(f"{key} is '{own[key]}', but metrics has the objectives; remove {key}")
    first = metrics[0] if isinstance(metrics, list) and metrics else None
    # Other forms are rejected where `metrics` itself is validated.
    if isinstance(first, ObjectiveConfig):
        return {**own, "metric": first.name, "mode": first.mode}
    if isinstance(first, Mapping) and isinstance(first.get("name"), str):
        own["metric"] = full_name(first["name"])
        if first.get("mode") in ("max", "min"):
            own["mode"] = first["mode"]
    return own
