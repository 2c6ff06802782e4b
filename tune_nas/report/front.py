"""The Pareto front of a comparison, its hypervolume, and the rows that constraints exclude."""

from __future__ import annotations

from tune_nas.report.comparison import Comparison
from tune_nas.report.feasibility import is_feasible
from tune_nas.report.front_volume import FrontVolume, front_volume
from tune_nas.report.ranking import fronts_of
from tune_nas.report.rows import Row


def has_front(comparison: Comparison) -> bool:
    """Return whether there are several objectives, of which a front is best."""
    return len(comparison.goals) > 1


def front_of(comparison: Comparison) -> list[Row]:
    """Return the ranked rows on the Pareto front, in their order; empty for one objective."""
    ranking = _compared(comparison) if has_front(comparison) else []
    ranks = fronts_of([comparison.ranked(row) for row in ranking], comparison.goals)
    return [row for row, rank in zip(ranking, ranks, strict=True) if rank == 0]


def volume_of(comparison: Comparison) -> FrontVolume | None:
    """Return the hypervolume of the front; None for one objective, and without a front."""
    rows = _compared(comparison)
    if not has_front(comparison) or not rows:
        return None
    return front_volume([comparison.ranked(row).means for row in rows], comparison.goals)


def infeasible_of(comparison: Comparison) -> list[Row]:
    """Return the rows with finished trials that are not ranked, as they violate constraints."""
    return [
        row for row in comparison.rows() if row.n and not is_feasible(row, comparison.constraints)
    ]


def _compared(comparison: Comparison) -> list[Row]:
    """Return the ranked rows without a diverged seed; all, if every row has one."""
    ranking = comparison.ranking()
    return [row for row in ranking if not comparison.diverged(row)] or ranking
