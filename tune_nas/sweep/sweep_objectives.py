"""The objectives and constraints of a sweep, and the checks that they fit each other."""

from __future__ import annotations

from collections import Counter

from tune_nas.report.labels import RETRAIN, VALID_ACCURACY
from tune_nas.report.objectives import PARAMETERS, Constraint, Objective, metrics_of
from tune_nas.sweep.keys import SweepKeys
from tune_nas.sweep.objective_keys import parse_constraint
from tune_nas.sweep.retrain_grid import FRONTIER, RetrainGrid

_OF_RETRAINING = "retrain/"


def objectives_of(sweep: SweepKeys) -> list[Objective]:
    """Return the objectives of a sweep; one, unless it has ``metrics``."""
    if sweep.metrics is None:
        return [Objective(sweep.metric, sweep.mode)]
    return [each.objective for each in sweep.metrics]


def search_objectives(sweep: SweepKeys) -> list[Objective]:
    """Return the objectives of its searches; validation accuracy stands for test accuracy."""
    return [
        Objective(VALID_ACCURACY if each.key == RETRAIN else each.key, each.mode, each.reference)
        for each in objectives_of(sweep)
    ]


def constraints_of(sweep: SweepKeys) -> list[Constraint]:
    """Return the constraints of a sweep."""
    return [parse_constraint(text) for text in sweep.constraints]


def frontier_objectives(sweep: SweepKeys) -> list[Objective]:
    """Return the objectives of ``retrain: frontier``; size is the second of a single one."""
    own = search_objectives(sweep)
    return own if len(own) > 1 else [*own, Objective(PARAMETERS, "min")]


def needed_metrics(sweep: SweepKeys) -> list[str]:
    """Return the metrics that searches must report, that of the first objective first."""
    grid = sweep.retrain
    choice = grid.genotypes if isinstance(grid, RetrainGrid) else grid
    own = frontier_objectives(sweep) if choice == FRONTIER else search_objectives(sweep)
    return metrics_of(own, constraints_of(sweep))


def check_objectives(sweep: SweepKeys) -> None:
    """Reject objectives and constraints that do not fit each other or the sweep.

    Raises:
        ValueError: If they do not.
    """
    keys = [objective.key for objective in objectives_of(sweep)]
    for key in keys:
        # The metrics of a search depend on its parts, custom ones included: they are known only
        # after one has run.
        if key.startswith(_OF_RETRAINING) and key != RETRAIN:
            raise ValueError(f"metric is '{key}', but of a retraining it must be '{RETRAIN}'")
    if len(keys) > 1:
        _check_several(sweep, keys)
    bounds = Counter[tuple[str, bool]]()
    for text, constraint in zip(sweep.constraints, constraints_of(sweep), strict=True):
        bounds[constraint.key, constraint.at_most] += 1
        if constraint.key.startswith(_OF_RETRAINING):
            raise ValueError(
                f"constraints has '{text}', but must be about metrics of a search, e.g. "
                "parameters <= 3.5e6"
            )
        if bounds[constraint.key, constraint.at_most] > 1:
            raise ValueError(f"constraints has '{text}' beside another such bound; give one")


def _check_several(sweep: SweepKeys, keys: list[str]) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise ValueError(f"metrics has '{twice[0]}' twice; give each metric once")
    if RETRAIN in keys and VALID_ACCURACY in keys:
        raise ValueError(
            f"metrics has '{RETRAIN}' and '{VALID_ACCURACY}', by which the searches are sampled in "
            "its place; give one"
        )
    if sweep.searcher == "cmaes":
        raise ValueError(
            "searcher is 'cmaes', but it samples for one metric; with metrics, take searcher "
            "'tpe', 'nsga2', 'gp', 'random' or 'grid'"
        )
    if sweep.scheduler == "asha":
        raise ValueError(
            "scheduler is 'asha', but it stops trials by one metric; with metrics, take 'none'"
        )
    if sweep.repeat is not None and sweep.repeat.max_seeds is not None:
        raise ValueError(
            "repeat.max_seeds is given, but a race over seeds is by one metric; with metrics, give "
            "repeat.seeds alone"
        )
