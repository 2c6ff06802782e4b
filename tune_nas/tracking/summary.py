"""Trials grouped by their swept values: means, sample standard deviations and n."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune_nas.tracking.labels import (
    RETRAIN,
    MetricName,
    axis_label,
    normalise,
    order_key,
    value_label,
)
from tune_nas.tracking.results import TrialResult


@dataclass(frozen=True)
class Statistic:
    """One metric over the trials of a row."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Their sample standard deviation (n − 1); None of a single value, or with an infinity."""
        known = self.n > 1 and all(map(math.isfinite, self.values))
        return statistics.stdev(self.values) if known else None

    def text(self, name: MetricName) -> str:
        """Return ``91.20 ± 0.31``; ``91.20 ± –`` of a single value."""
        if name.digits == 0 and abs(self.mean) >= 1e6:
            return f"{self.mean / 1e6:.2f} M"
        mean = f"{self.mean:,.{name.digits}f}"
        if not name.spread:
            return mean
        return f"{mean} ± {'–' if self.std is None else format(self.std, f'.{name.digits}f')}"


@dataclass(frozen=True)
class Row:
    """The trials of one combination of swept values.

    Args:
        values: Swept key → value.
        stage: Whose trials the row is about: ``repeat`` if the combination was repeated, else
            ``search``.
        trials: Those that finished; the statistics are theirs alone.
        stopped: Number of trials stopped early.
        failed: Number of trials that failed.
        retrained: Retrains of its genotypes that finished.
        retrains_failed: Those that did not.
        statistics: Metric → its statistic; a metric that no trial has is absent.
    """

    values: dict[str, Any]
    stage: str
    trials: tuple[TrialResult, ...]
    stopped: int
    failed: int
    retrained: tuple[TrialResult, ...]
    retrains_failed: int
    statistics: dict[str, Statistic]

    @property
    def n(self) -> int:
        """Number of trials that finished."""
        return len(self.trials)

    @property
    def label(self) -> str:
        """The swept values in words: ``λ = 0.1``."""
        return ", ".join(f"{axis_label(k)} = {value_label(v)}" for k, v in self.values.items())


def metric_value(result: TrialResult, key: str) -> float | None:
    """Return a trial's value of a metric, or None if it has none or it is not a number.

    ``seconds`` is the sum over its epochs; every other metric is the last epoch's.
    """
    if key == "seconds" and result.history:
        return sum(epoch.get("seconds", 0.0) for epoch in result.history)
    value = result.metrics.get(key)
    return None if value is None or math.isnan(value) else float(value)


def group(axes: Sequence[str], results: Sequence[TrialResult], metrics: Sequence[str]) -> list[Row]:
    """Return a row for each combination of the axes' values, in the order of the values."""
    searches: dict[tuple[Any, ...], list[TrialResult]] = {}
    key_of: dict[str, tuple[Any, ...]] = {}
    for result in results:
        if result.stage != "retrain":
            key = _key(axes, result)
            key_of[result.trial_id] = key
            searches.setdefault(key, []).append(result)
    retrains: dict[tuple[Any, ...], list[TrialResult]] = {}
    for result in results:
        if result.stage == "retrain":
            key = key_of.get(result.parent or "", _key(axes, result))
            retrains.setdefault(key, []).append(result)
    keys = sorted(searches.keys() | retrains.keys(), key=lambda key: [order_key(v) for v in key])
    return [_row(axes, key, searches.get(key, []), retrains.get(key, []), metrics) for key in keys]


def _key(axes: Sequence[str], result: TrialResult) -> tuple[Any, ...]:
    return tuple(normalise(result.parameters.get(axis)) for axis in axes)


def _row(
    axes: Sequence[str],
    key: tuple[Any, ...],
    searches: list[TrialResult],
    retrains: list[TrialResult],
    metrics: Sequence[str],
) -> Row:
    stage = "repeat" if any(trial.stage == "repeat" for trial in searches) else "search"
    of_stage = [trial for trial in searches if trial.stage == stage]
    finished = tuple(trial for trial in of_stage if trial.status == "finished")
    retrained = tuple(trial for trial in retrains if trial.status == "finished")
    return Row(
        values=dict(zip(axes, key, strict=True)),
        stage=stage,
        trials=finished,
        stopped=sum(trial.status == "stopped early" for trial in of_stage),
        failed=sum(trial.status == "failed" for trial in of_stage),
        retrained=retrained,
        retrains_failed=len(retrains) - len(retrained),
        statistics=_statistics(finished, retrained, metrics),
    )


def _statistics(
    finished: Sequence[TrialResult], retrained: Sequence[TrialResult], metrics: Sequence[str]
) -> dict[str, Statistic]:
    found: dict[str, Statistic] = {}
    for metric in metrics:
        if metric == RETRAIN:
            values = [metric_value(trial, "test_accuracy") for trial in retrained]
        else:
            values = [metric_value(trial, metric) for trial in finished]
        known = tuple(value for value in values if value is not None)
        if known:
            found[metric] = Statistic(known)
    return found
