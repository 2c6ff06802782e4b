"""Means over the seeds of simulated searches, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from tune_nas.benchmark import DATA
from tune_nas.candidates.search_curve import Cost, SearchCurve

_RESAMPLES = 5_000
_LEVEL = 0.95


@dataclass(frozen=True)
class MeanInterval:
    """A mean over seeds and its 95 % interval.

    Args:
        mean: The mean.
        low: Lower end of the interval; the mean itself for a single value.
        high: Upper end.
        n: Number of values.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class BudgetPoint:
    """The searches of a trial at a cost: means over those that have an incumbent by then.

    Args:
        epochs: Training epochs of the completed jobs.
        evaluations: Number of completed jobs.
        gpu_hours: Their hours, one GPU a worker.
        hours: Virtual time in hours.
        test: Test accuracies of the incumbents in percent, by data set.
        regret: Regret on the data set of the search, in percentage points.
    """

    epochs: float
    evaluations: float
    gpu_hours: float
    hours: float
    test: dict[str, MeanInterval]
    regret: MeanInterval


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Return the mean and its 95 % interval, from the quantiles of bootstrapped means.

    The resampling has a fixed seed, so equal values have equal intervals.
    """
    if len(set(values)) == 1:
        return MeanInterval(values[0], values[0], values[0], len(values))
    tails = (0.5 - _LEVEL / 2, 0.5 + _LEVEL / 2)
    low, high = np.quantile(_shares(len(values)) @ np.asarray(values, dtype=float), tails)
    return MeanInterval(fmean(values), float(low), float(high), len(values))


def mean_regret(curves: Sequence[SearchCurve], cost: float, axis: Cost) -> MeanInterval | None:
    """Return the mean regret of searches at a cost; None if none has an incumbent by then."""
    points = [point for curve in curves if (point := curve.at(cost, axis)) is not None]
    return mean_interval([point.incumbent.regret for point in points]) if points else None


def budget_point(
    curves: Sequence[SearchCurve], cost: float, axis: Cost = "epochs"
) -> BudgetPoint | None:
    """Return the means of searches at a cost; None if no search has an incumbent by then."""
    points = [point for curve in curves if (point := curve.at(cost, axis)) is not None]
    if not points:
        return None
    return BudgetPoint(
        fmean(point.epochs for point in points),
        fmean(point.evaluations for point in points),
        fmean(point.gpu_seconds for point in points) / 3600,
        fmean(point.seconds for point in points) / 3600,
        {
            data: mean_interval([point.incumbent.test[place] for point in points])
            for place, data in enumerate(DATA)
        },
        mean_interval([point.incumbent.regret for point in points]),
    )


@lru_cache(maxsize=4)
def _shares(n: int) -> NDArray[np.float64]:
    """Return how often each of n values is in each resample, as a share of n."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) / n
