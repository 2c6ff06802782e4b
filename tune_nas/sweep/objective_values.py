"""The objectives and constraints of a sweep, evaluated for the records of its searches."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tune_nas.report.objectives import Constraint, Objective, meets_all
from tune_nas.report.rows import metric_value
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.sweep_objectives import constraints_of, search_objectives


def point_of(sweep: SweepConfig, record: Record) -> tuple[float, ...] | None:
    """Return a search's value of each objective; None if one is missing or not finite."""
    objectives = search_objectives(sweep)
    if len(objectives) > 1:
        return values_of(objectives, record)
    value = record.value(objectives[0].key)  # unlike the report, of `seconds` too: the last epoch's
    return None if value is None or not math.isfinite(value) else (value,)


def values_of(objectives: Sequence[Objective], record: Record) -> tuple[float, ...] | None:
    """Return a search's value of each of some objectives, as in the report; else None."""
    result = record.result()
    values = [metric_value(result, objective.key) for objective in objectives]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else None


def excesses(sweep: SweepConfig, record: Record) -> dict[str, float]:
    """Return by how much a search violates each constraint; at most 0 if it does not."""
    result = record.result()
    return {
        text: constraint.excess(metric_value(result, constraint.key))
        for text, constraint in zip(sweep.constraints, constraints_of(sweep), strict=True)
    }


def feasible_of(sweep: SweepConfig, records: Sequence[Record]) -> list[Record]:
    """Return the searches of a configuration that meet all constraints.

    None of them if the configuration violates a constraint on average.
    """
    constraints = constraints_of(sweep)
    if not constraints or not records:
        return list(records)
    if not all(_is_met_on_average(constraint, records) for constraint in constraints):
        return []
    return [record for record in records if is_feasible(sweep, record)]


def is_feasible(sweep: SweepConfig, record: Record) -> bool:
    """Return whether a search meets all constraints."""
    result = record.result()
    return meets_all(constraints_of(sweep), lambda key: metric_value(result, key))


def _is_met_on_average(constraint: Constraint, records: Sequence[Record]) -> bool:
    """Return whether the mean over the searches with a value meets a constraint."""
    values = [metric_value(record.result(), constraint.key) for record in records]
    known = [value for value in values if value is not None]
    return bool(known) and constraint.excess(statistics.fmean(known)) <= 0
