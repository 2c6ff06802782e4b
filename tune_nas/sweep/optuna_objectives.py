"""Objectives and constraints in the terms of Optuna 4.9 and 5.0.

Since 5.0, constraints are set on the trial itself, with any sampler. In 4.9, a sampler calls a
function for them when a trial has ended; a sampler that does not take such a function ignores them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import optuna

from tune_nas.status import Status
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.objective_values import excesses
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.sweep_objectives import search_objectives

_CONSTRAINTS = "constraints"  # a user attribute of a trial


class _Trial(Protocol):
    """A trial of Optuna with its user attributes."""

    @property
    def user_attrs(self) -> Mapping[str, list[float]]: ...


def directions(sweep: SweepConfig) -> list[str]:
    """Return the directions of a study, one for each objective."""
    return [
        "maximize" if objective.mode == "max" else "minimize"
        for objective in search_objectives(sweep)
    ]


def constrain(trial: optuna.Trial, sweep: SweepConfig, record: Record) -> None:
    """Tell how much a trial violates each constraint: a failed one, or one without value, by inf.

    Args:
        trial: The trial, which has not been told yet.
        sweep: The sweep; nothing is done without constraints.
        record: Its record.
    """
    found = excesses(sweep, record)
    if record.status is Status.FAILED:
        found = dict.fromkeys(found, math.inf)
    if hasattr(trial, "set_constraint"):
        for name, excess in found.items():
            trial.set_constraint(name, excess)
    elif found:
        trial.set_user_attr(_CONSTRAINTS, list(found.values()))


def constraint_arguments(sweep: SweepConfig) -> dict[str, Callable[[_Trial], Sequence[float]]]:
    """Return the argument of a sampler that makes it read constraints; empty if none is needed."""
    if not sweep.constraints or hasattr(optuna.Trial, "set_constraint"):
        return {}
    return {"constraints_func": _constraints}


def _constraints(trial: _Trial) -> Sequence[float]:
    return trial.user_attrs[_CONSTRAINTS]
