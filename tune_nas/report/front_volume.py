"""The hypervolume of a Pareto front, with its reference point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_nas.pareto import hypervolume
from tune_nas.report.objectives import Objective

BEYOND = 0.1
"""Share of an objective's range by which the reference point is worse than the worst value.

Our choice: at the worst values themselves, the ends of a front would add nothing.
"""


@dataclass(frozen=True)
class FrontVolume:
    """The hypervolume of a front.

    Args:
        value: The volume, in the product of the objectives' units.
        reference: The reference point, by metric.
        given: Whether the sweep gives the whole reference point, so that sweeps can be compared.
    """

    value: float
    reference: dict[str, float]
    given: bool


def front_volume(points: Sequence[Sequence[float]], objectives: Sequence[Objective]) -> FrontVolume:
    """Return the hypervolume of the points.

    The reference point has the values that the objectives give. Otherwise it is worse than the
    worst point by `BEYOND` times the range of the points; if they are all equal, times their value.

    Args:
        points: At least one point, with a value of each objective.
        objectives: The objectives.
    """
    reference = {
        objective.key: _reference(objective, [point[index] for point in points])
        for index, objective in enumerate(objectives)
    }
    modes = [objective.mode for objective in objectives]
    return FrontVolume(
        hypervolume(points, modes, list(reference.values())),
        reference,
        all(objective.reference is not None for objective in objectives),
    )


def _reference(objective: Objective, values: Sequence[float]) -> float:
    if objective.reference is not None:
        return objective.reference
    least, most = min(values), max(values)
    margin = BEYOND * ((most - least) or abs(most) or 1.0)
    return least - margin if objective.mode == "max" else most + margin
