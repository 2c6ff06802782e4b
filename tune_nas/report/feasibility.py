"""Which rows of a comparison, and which of their trials, meet the constraints of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tune_nas.report.objectives import Constraint, meets_all
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import Row, metric_value


def is_feasible(row: Row, constraints: Sequence[Constraint]) -> bool:
    """Return whether a row meets all constraints on average, and one of its trials does."""
    if not constraints:
        return True
    means = {key: statistic.mean for key, statistic in row.statistics.items()}
    return meets_all(constraints, means.get) and bool(feasible_trials(row, constraints))


def feasible_trials(row: Row, constraints: Sequence[Constraint]) -> list[TrialResult]:
    """Return the finished trials of a row that meet all constraints."""
    return [trial for trial in row.trials if meets_all(constraints, partial(metric_value, trial))]
