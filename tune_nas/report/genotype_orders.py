"""Whether supernet, benchmark and retraining order the same genotypes in the same way."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import scipy

from tune_nas.rank_correlation import kendall_tau
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import (
    BENCHMARK,
    RETRAIN,
    SETTING,
    VALID_ACCURACY,
    MetricName,
    metric_name,
)
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import has_diverged, metric_value, settings_of


@dataclass(frozen=True)
class OrderAgreement:
    """The agreement of two measures about the order of genotypes.

    Args:
        measures: Display names of the two measures.
        tau: Kendall's τ-b; None if it is not defined: for fewer than two genotypes, or if all are
            equal by one of the measures.
        p: Two-sided p-value of τ = 0, exact without ties; None without τ.
        n: Number of genotypes that have both measures.
    """

    measures: tuple[str, str]
    tau: float | None
    p: float | None
    n: int


def genotype_orders(comparison: Comparison) -> tuple[OrderAgreement, ...]:
    """Return the agreement of each two measures of the genotypes of a comparison.

    The measures are the validation accuracy of the search that found a genotype, the ranked metric
    if it is another one, the test accuracy in the benchmark's table, and the mean test accuracy of
    the retraining runs, under each setting. Each search that ran to its end counts as one genotype.
    """
    measures = _measures(comparison)
    found = []
    for (one, first), (two, second) in itertools.combinations(measures.items(), 2):
        common = [trial_id for trial_id in first if trial_id in second]
        if common:
            values = [[own[trial_id] for trial_id in common] for own in (first, second)]
            found.append(_agreement((one, two), *values))
    return tuple(found)


def _agreement(
    measures: tuple[str, str], first: Sequence[float], second: Sequence[float]
) -> OrderAgreement:
    tau = kendall_tau(first, second)
    p = None if tau is None else float(scipy.stats.kendalltau(first, second).pvalue)
    return OrderAgreement(measures, tau, p, len(first))


def _measures(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Return the measures by name: for each search, its value, of which a higher one is better."""
    key = comparison.rank_by.key
    sound = [
        result
        for result in comparison.results
        if result.phase in ("search", "repeat")
        and result.status == "finished"
        and result.genotype is not None
        and not has_diverged(result, key)
    ]
    names = [comparison.valid_accuracy, metric_name(BENCHMARK)]
    if key not in (VALID_ACCURACY, BENCHMARK, RETRAIN):
        names.insert(0, comparison.rank_by)
    found = {name.words: _of_searches(comparison, sound, name) for name in names}
    found |= _of_retraining(comparison, {result.trial_id for result in sound})
    return {name: values for name, values in found.items() if values}


def _of_searches(
    comparison: Comparison, sound: Sequence[TrialResult], name: MetricName
) -> dict[str, float]:
    reverse = name is comparison.rank_by and comparison.mode == "min"
    values = {result.trial_id: metric_value(result, name.key) for result in sound}
    return {
        trial_id: -value if reverse else value
        for trial_id, value in values.items()
        if value is not None
    }


def _of_retraining(comparison: Comparison, known: set[str]) -> dict[str, dict[str, float]]:
    """Return the mean test accuracies of the retraining runs of searches, under each setting."""
    words = metric_name(RETRAIN).words
    settings = settings_of(comparison.results)
    by_name: dict[str, dict[str, list[float]]] = {
        f"{words} ({name})" if settings else words: {} for name in settings or [""]
    }
    for run in comparison.results:
        accuracy = metric_value(run, "test_accuracy")
        usable = run.status == "finished" and not has_diverged(run, RETRAIN)
        if run.phase == "retrain" and run.parent in known and usable and accuracy is not None:
            name = f"{words} ({run.parameters[SETTING]})" if settings else words
            by_name[name].setdefault(run.parent, []).append(accuracy)
    return {
        name: {trial_id: statistics.fmean(values) for trial_id, values in own.items()}
        for name, own in by_name.items()
    }
