"""The comparison of all rows with a baseline, e.g. random search with shared weights."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.report.comparison import Comparison
from tune_nas.report.improvement import improvement_interval, probability_of_improvement
from tune_nas.report.rows import Row


@dataclass(frozen=True)
class Improvement:
    """A row compared with the baseline, by the ranked metric.

    Args:
        row: The row.
        difference: Its mean minus that of the baseline.
        probability: Probability that a trial of the row is better than one of the baseline.
        interval: Its 95 % interval.
    """

    row: Row
    difference: float
    probability: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class BaselineComparison:
    """All other rows compared with the baseline.

    Args:
        baseline: The row of the baseline.
        rows: The others that can be compared, best first.
    """

    baseline: Row
    rows: tuple[Improvement, ...]


def compare_with_baseline(comparison: Comparison) -> BaselineComparison | None:
    """Compare all rows with the baseline, by the ranked metric.

    Rows with a diverged seed, and those that were dropped from a race over seeds, are left out:
    their means are not comparable.

    Returns:
        None without a baseline, and if it has no value that can be compared.
    """
    comparable, metric = comparison.ranking(comparable=True), comparison.rank_by.key
    own = next((row for row in comparable if row.values == comparison.baseline), None)
    if own is None:
        return None
    base = own.statistics[metric]
    rows = []
    for row in comparable:
        if row is own:
            continue
        found = row.statistics[metric]
        probability = probability_of_improvement(found.values, base.values, comparison.mode)
        interval = improvement_interval(probability, found.n, base.n)
        rows.append(Improvement(row, found.mean - base.mean, probability, interval))
    return BaselineComparison(own, tuple(rows))
