"""The comparison of a sweep's trials: rows of means, their ranking, and the best genotype."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from tune_nas.report.labels import (
    COLUMNS,
    RETRAIN,
    VALID_ACCURACY,
    MetricName,
    axis_label,
    metric_name,
    valid_accuracy_of,
    value_label,
)
from tune_nas.report.ranking import rank_key
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import (
    Row,
    group,
    has_diverged,
    metric_value,
    retraining_runs,
    settings_of,
)
from tune_nas.report.setting_comparison import SettingComparison, compare_settings

CANDIDATES = "candidates"
"""A metric of black-box searches alone: the number of candidates with a result."""


class Comparison:
    """The comparison of a sweep's trials, grouped by the swept values.

    Means and standard deviations (n − 1) are over the trials that ran to their end. If a
    combination was repeated over seeds, its row is about the repeats, and only repeated
    combinations are ranked. A combination with a diverged seed ranks after all others. If genotypes
    were retrained under several settings, the rows have the runs of the first one.

    Args:
        sweep: Name of the sweep.
        axes: Swept dotted keys, without the seed.
        results: Every trial, including retraining runs.
        rank_by: Metric of a search (``valid_accuracy``, ``benchmark/cifar10_test``, …), or
            ``retrain/test_accuracy``.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.

    Attributes:
        remarks: Sentences about the whole comparison, e.g. that its trials have other settings.
        valid_accuracy: Display name of the validation accuracy of its searches.
        compared: What these accuracies are of, as text.

    Raises:
        ValueError: If mode is neither ``max`` nor ``min``.
    """

    def __init__(
        self,
        sweep: str,
        axes: Sequence[str],
        results: Sequence[TrialResult],
        rank_by: str,
        mode: str = "max",
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"mode is '{mode}', but must be 'max' or 'min'")
        self.sweep = sweep
        self.axes = list(axes)
        self.results = list(results)
        self.remarks: list[str] = []
        black_box = [
            CANDIDATES in result.metrics
            for result in self.results
            if result.phase in ("search", "repeat") and result.metrics
        ]
        self.valid_accuracy, self.compared = valid_accuracy_of(black_box)
        own = rank_by == VALID_ACCURACY
        self.rank_by: MetricName = self.valid_accuracy if own else metric_name(rank_by)
        self.mode = mode
        metrics = dict.fromkeys([column.key for column in COLUMNS] + [self.rank_by.key])
        self._rows = group(self.axes, self.results, list(metrics), self.rank_by.key)

    @cached_property
    def by_setting(self) -> SettingComparison | None:
        """The retraining runs by setting; None for fewer than two settings."""
        runs = retraining_runs(self.axes, self.results)
        return compare_settings(settings_of(self.results), runs, self.axes)

    def rows(self) -> list[Row]:
        """Return a row for each combination of swept values, in the order of the values."""
        return list(self._rows)

    def ranking(self) -> list[Row]:
        """Return the rows that can be compared, best first."""
        known = self._known()
        repeated = [row for row in known if row.phase == "repeat"]
        return repeated or known

    def not_repeated(self) -> list[Row]:
        """Return the rows that were searched but not repeated while others were, best first."""
        ranking = self.ranking()
        return [row for row in self._known() if row not in ranking]

    def diverged(self, row: Row) -> int:
        """Return a row's number of diverged searches, or retraining runs if those rank it."""
        return row.retrains_diverged if self.rank_by.key == RETRAIN else row.diverged

    def best(self) -> TrialResult | None:
        """Return the best search of the best row, or None if no trial can be ranked."""
        ranking = self.ranking()
        return best_of(ranking[0], self.rank_by.key, self.mode) if ranking else None

    @property
    def best_genotype(self) -> str | None:
        """The genotype of the best search as YAML."""
        best = self.best()
        return None if best is None else best.genotype

    def notes(self) -> list[str]:
        """Return a line for each trial that did not end as planned, with the reason."""
        notes = []
        for result in self.results:
            status, why = result.status, result.error or result.reason
            if status == "finished" and has_diverged(result, self.rank_by.key):
                status, why = "diverged", "its loss or metric is not finite"
            if status != "finished" or why:
                who = f"{result.phase} {result.trial_id} ({self._describe(result)})"
                notes.append(f"{who} {status}: {why}")
        return notes

    def _known(self) -> list[Row]:
        """Return the rows that have a value of the ranked metric, best first."""
        return sorted(
            (row for row in self._rows if self.rank_by.key in row.statistics), key=self._rank_key
        )

    def _rank_key(self, row: Row) -> tuple[object, ...]:
        mean = row.statistics[self.rank_by.key].mean
        diverged = self.diverged(row) > 0
        return rank_key(mean, row.values.values(), mode=self.mode, diverged=diverged)

    def _describe(self, result: TrialResult) -> str:
        values = [f"{axis_label(k)} = {value_label(v)}" for k, v in result.parameters.items()]
        return ", ".join([*values, f"seed {result.seed}"])


def best_of(row: Row, metric: str, mode: str) -> TrialResult:
    """Return the best search of a row that has a value of the metric.

    Args:
        row: The row.
        metric: Metric to rank by.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.
    """
    if metric == RETRAIN:
        sought, key = {trial.trial_id: trial for trial in row.trials}, "test_accuracy"
        pairs = [(metric_value(r, key), sought.get(r.parent or "", r)) for r in row.retrained]
    else:
        pairs = [(metric_value(trial, metric), trial) for trial in row.trials]
    known = [(value, trial) for value, trial in pairs if value is not None]
    choose = max if mode == "max" else min
    return choose(known, key=lambda pair: pair[0])[1]
