"""Trials grouped by their swept values: means, sample standard deviations and n.

Samples are counted by seed: the same configuration with the same seed is the same search, however
often it was run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tune_nas.errors import DivergedError
from tune_nas.report.labels import (
    RETRAIN,
    SETTING,
    MetricName,
    SweptValue,
    normalize,
    order_key,
    values_label,
)
from tune_nas.report.results import TrialResult
from tune_nas.status import RESULT_STATUSES, Status

_LOSSES = ("train_loss", "valid_loss", "test_loss")


@dataclass(frozen=True)
class Statistic:
    """One metric over the trials of a row.

    Args:
        values: The values.
        seeds: The seed of each value.
    """

    values: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n − 1); None for a single value."""
        return statistics.stdev(self.values) if self.n > 1 else None

    def text(self, name: MetricName) -> str:
        """Return ``91.20 ± 0.31``; ``91.20 ± –`` for a single value."""
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
        phase: Phase of the row's trials: ``repeat`` if the combination was repeated, else
            ``search``.
        trials: The finished trials, one per seed; the statistics are over these alone.
        searched: If ``phase`` is ``repeat``: the finished trials of the search phase.
        stopped: Number of trials stopped early.
        failed: Number of failed trials.
        diverged: Number of trials whose loss or ranked metric is not finite; they count neither
            as finished nor as failed.
        retrained: The finished retraining runs of its genotypes.
        retrains_failed: Number of failed retraining runs.
        retrains_diverged: Number of diverged retraining runs.
        statistics: Metric → its statistic; a metric that no trial has is absent.
        survived: Number of seeds after which it was dropped from a race; inf if it was not.
    """

    values: dict[str, SweptValue]
    phase: str
    trials: tuple[TrialResult, ...]
    searched: tuple[TrialResult, ...]
    stopped: int
    failed: int
    diverged: int
    retrained: tuple[TrialResult, ...]
    retrains_failed: int
    retrains_diverged: int
    statistics: dict[str, Statistic]
    survived: float = math.inf

    @property
    def key(self) -> tuple[SweptValue, ...]:
        """The swept values."""
        return tuple(self.values.values())

    @property
    def dropped(self) -> bool:
        """Whether it was dropped from a race over seeds."""
        return math.isfinite(self.survived)

    @property
    def n(self) -> int:
        """Number of finished trials."""
        return len(self.trials)

    @property
    def label(self) -> str:
        """The swept values as text: ``λ = 0.1``."""
        return values_label(self.values)

    def has_searches_of(self, other: Row) -> bool:
        """Return whether its searches equal those of another row to the last digit.

        Seeds, genotypes, and the training losses of all epochs are then the same.
        """
        own, others = _losses(self.trials), _losses(other.trials)
        return own is not None and own == others


def _losses(
    trials: Sequence[TrialResult],
) -> dict[int, tuple[list[float | None], str | None]] | None:
    """Return training losses and genotype by seed; None if a loss of an epoch is unknown."""
    losses = {t.seed: [epoch.get("train_loss") for epoch in t.history] for t in trials}
    if not losses or any(not each or None in each for each in losses.values()):
        return None
    return {trial.seed: (losses[trial.seed], trial.genotype) for trial in trials}


def metric_value(result: TrialResult, key: str) -> float | None:
    """Return a trial's value of a metric, or None if it is missing or not finite.

    ``seconds`` is the sum over the epochs; every other metric is that of the last epoch.
    """
    if key == "seconds" and result.history:
        return sum(epoch.get("seconds", 0.0) for epoch in result.history)
    value = result.metrics.get(key)
    return None if value is None or not math.isfinite(value) else float(value)


def has_diverged(result: TrialResult, metric: str) -> bool:
    """Return whether a trial's losses or its ranked metric are not finite."""
    if result.status == "failed":
        return (result.error or "").startswith(DivergedError.__name__)
    key = "test_accuracy" if metric == RETRAIN else metric
    values = [result.metrics.get(name) for name in (key, *_LOSSES)]
    return any(value is not None and not math.isfinite(value) for value in values)


def distinct(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Return one trial per seed; among several, the one with the most epochs."""
    of_seed: dict[int, TrialResult] = {}
    for trial in sorted(trials, key=lambda trial: RESULT_STATUSES.index(Status(trial.status))):
        of_seed.setdefault(trial.seed, trial)
    kept = {trial.trial_id for trial in of_seed.values()}
    return [trial for trial in trials if trial.trial_id in kept]


def group(
    axes: Sequence[str],
    results: Sequence[TrialResult],
    metrics: Sequence[str],
    rank_by: str,
) -> list[Row]:
    """Return a row for each combination of the axes' values, in the order of the values.

    Args:
        axes: Swept dotted keys.
        results: Trials of every phase; analyses are in no row. If the retraining runs have
            several settings, only those of the first one are.
        metrics: Metrics to compute statistics of.
        rank_by: The ranked metric; a trial without a finite value of it has diverged.
    """
    searches = searches_of(axes, results)
    others = settings_of(results)[1:]
    retrains = retraining_runs(
        axes, [result for result in results if result.parameters.get(SETTING) not in others]
    )
    keys = sorted(searches.keys() | retrains.keys(), key=lambda key: [order_key(v) for v in key])
    return [
        _row(axes, key, searches.get(key, []), retrains.get(key, []), metrics, rank_by)
        for key in keys
    ]


def settings_of(results: Sequence[TrialResult]) -> list[str]:
    """Return the settings of retraining runs, in the order of the runs; empty without settings."""
    runs = (result for result in results if result.phase == "retrain")
    return list(
        dict.fromkeys(str(run.parameters[SETTING]) for run in runs if SETTING in run.parameters)
    )


def searches_of(
    axes: Sequence[str], results: Sequence[TrialResult]
) -> dict[tuple[SweptValue, ...], list[TrialResult]]:
    """Return the searches and repeats by the values of the axes."""
    searches: dict[tuple[SweptValue, ...], list[TrialResult]] = {}
    for result in results:
        if result.phase in ("search", "repeat"):
            searches.setdefault(configuration_of(axes, result.parameters), []).append(result)
    return searches


def retraining_runs(
    axes: Sequence[str], results: Sequence[TrialResult]
) -> dict[tuple[SweptValue, ...], list[TrialResult]]:
    """Return the retraining runs by the values of the axes, which are those of their searches."""
    sought = {r.trial_id: r for r in results if r.phase in ("search", "repeat")}
    runs: dict[tuple[SweptValue, ...], list[TrialResult]] = {}
    for result in results:
        if result.phase == "retrain":
            own = sought.get(result.parent or "", result)
            runs.setdefault(configuration_of(axes, own.parameters), []).append(result)
    return runs


def configuration_of(
    axes: Sequence[str], parameters: Mapping[str, object]
) -> tuple[SweptValue, ...]:
    """Return the values of the swept keys of a trial; None for one that it does not have."""
    return tuple(normalize(parameters.get(axis)) for axis in axes)


def _row(
    axes: Sequence[str],
    key: tuple[SweptValue, ...],
    searches: list[TrialResult],
    retrains: list[TrialResult],
    metrics: Sequence[str],
    rank_by: str,
) -> Row:
    phase = "repeat" if any(trial.phase == "repeat" for trial in searches) else "search"
    of_phase = distinct([trial for trial in searches if trial.phase == phase])
    before = distinct([trial for trial in searches if trial.phase != phase])
    lost = {trial.trial_id for trial in (*searches, *retrains) if has_diverged(trial, rank_by)}

    def finished(trials: Sequence[TrialResult]) -> tuple[TrialResult, ...]:
        ended = [trial for trial in trials if trial.status == "finished"]
        return tuple(trial for trial in ended if trial.trial_id not in lost)

    def count(trials: Sequence[TrialResult], status: str) -> int:
        return sum(trial.status == status and trial.trial_id not in lost for trial in trials)

    retrained = finished(retrains)
    return Row(
        values=dict(zip(axes, key, strict=True)),
        phase=phase,
        trials=finished(of_phase),
        searched=finished(before),
        stopped=count(of_phase, "stopped early"),
        failed=count(of_phase, "failed"),
        diverged=sum(trial.trial_id in lost for trial in of_phase),
        retrained=retrained,
        retrains_failed=count(retrains, "failed"),
        retrains_diverged=sum(trial.trial_id in lost for trial in retrains),
        statistics=_statistics(finished(of_phase), retrained, metrics),
    )


def _statistics(
    finished: Sequence[TrialResult], retrained: Sequence[TrialResult], metrics: Sequence[str]
) -> dict[str, Statistic]:
    found: dict[str, Statistic] = {}
    for metric in metrics:
        own = (retrained, "test_accuracy") if metric == RETRAIN else (finished, metric)
        statistic = statistic_of(*own)
        if statistic is not None:
            found[metric] = statistic
    return found


def statistic_of(trials: Sequence[TrialResult], key: str) -> Statistic | None:
    """Return a metric over trials; None if none of them has a finite value of it."""
    values = ((trial.seed, metric_value(trial, key)) for trial in trials)
    known = [(seed, value) for seed, value in values if value is not None]
    if not known:
        return None
    return Statistic(tuple(value for _, value in known), tuple(seed for seed, _ in known))
