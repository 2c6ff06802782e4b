"""The comparison of a sweep's trials: rows of means, their ranking, and the best genotype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from tune_nas.pareto import Mode
from tune_nas.report.feasibility import feasible_trials, is_feasible
from tune_nas.report.labels import (
    COLUMNS,
    RETRAIN,
    VALID_ACCURACY,
    MetricName,
    metric_name,
    normalize,
    valid_accuracy_of,
    values_label,
)
from tune_nas.report.objectives import Constraint, Objective, metrics_of
from tune_nas.report.race import RaceRule, race_of
from tune_nas.report.ranking import Ranked, best_first
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import (
    Row,
    group,
    has_diverged,
    metric_value,
    retraining_runs,
    settings_of,
)
from tune_nas.report.seed_statistics import SeedStatistics, seed_statistics
from tune_nas.report.setting_comparison import SettingComparison, compare_settings

CANDIDATES = "candidates"
"""A metric of black-box searches alone: the number of candidates with a result."""


class Comparison:
    """The comparison of a sweep's trials, grouped by the swept values.

    Means and standard deviations (n − 1) are over the trials that ran to their end. If a
    combination was repeated over seeds, its row is about the repeats, and only repeated
    combinations are ranked. A combination with a diverged seed ranks after all others; one that was
    dropped from a race over seeds ranks after those that stayed in it longer. If genotypes
    were retrained under several settings, the rows have the runs of the first one.

    Args:
        sweep: Name of the sweep.
        axes: Swept dotted keys, without the seed.
        results: Every trial, including retraining runs.
        rank_by: Metric of a search (``valid_accuracy``, ``benchmark/cifar10_test``, …), or
            ``retrain/test_accuracy``.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.
        race_rule: The rule of the race over seeds that the repeats were part of; None without one.
        objectives: Several objectives, of which ``rank_by`` and ``mode`` are the first; empty for
            one. Rows are then in the order of their non-dominated ranks, and best is the front.
        constraints: Rows that violate one on average are not ranked, nor are trials that do.
        baseline: The swept values of the row that all others are compared with; None for none.

    Attributes:
        race: The race; None without one, and before its first trial has ended.
        goals: The objectives, also a single one.
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
        race_rule: RaceRule | None = None,
        *,
        objectives: Sequence[Objective] = (),
        constraints: Sequence[Constraint] = (),
        baseline: Mapping[str, object] | None = None,
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
        self.mode: Mode = "max" if mode == "max" else "min"
        several = len(objectives) > 1
        self.goals = list(objectives) if several else [Objective(self.rank_by.key, self.mode)]
        self.constraints = list(constraints)
        self.baseline = (
            None
            if baseline is None
            else {axis: normalize(baseline.get(axis)) for axis in self.axes}
        )
        metrics = dict.fromkeys(
            [column.key for column in COLUMNS] + metrics_of(self.goals, self.constraints)
        )
        self.race_rule = race_rule
        self.race = race_of(self.axes, self.results, race_rule)
        rows = group(self.axes, self.results, list(metrics), self.rank_by.key)
        if self.race is not None and self.rank_by.key != RETRAIN:
            rows = [replace(row, survived=self.race.survived(row.key)) for row in rows]
        self._rows = rows

    @cached_property
    def over_seeds(self) -> SeedStatistics:
        """Intervals, paired tests and rank stability of the ranked metric over the seeds."""
        comparable = self.ranking(comparable=True)
        return seed_statistics(self.ranking(), comparable, self.rank_by.key, self.mode)

    @cached_property
    def by_setting(self) -> SettingComparison | None:
        """The retraining runs by setting; None for fewer than two settings."""
        runs = retraining_runs(self.axes, self.results)
        return compare_settings(settings_of(self.results), runs, self.axes)

    def rows(self) -> list[Row]:
        """Return a row for each combination of swept values, in the order of the values."""
        return list(self._rows)

    def ranking(self, *, comparable: bool = False) -> list[Row]:
        """Return the rows that can be ranked, best first.

        Args:
            comparable: Whether rows are left out whose means are not comparable: with a diverged
                seed, or dropped from a race over seeds.
        """
        known = self._known
        rows = [row for row in known if row.phase == "repeat"] or known
        return [r for r in rows if not (comparable and (self.diverged(r) or r.dropped))]

    def not_repeated(self) -> list[Row]:
        """Return the rows that were searched but not repeated while others were, best first."""
        ranked = {id(row) for row in self.ranking()}
        return [row for row in self._known if id(row) not in ranked]

    def diverged(self, row: Row) -> int:
        """Return a row's number of diverged searches, or retraining runs if those rank it."""
        return row.retrains_diverged if self.rank_by.key == RETRAIN else row.diverged

    def best(self) -> TrialResult | None:
        """Return the best search of the best row, or None if no trial can be ranked."""
        ranking = self.ranking()
        if not ranking:
            return None
        return best_of(ranking[0], self.rank_by.key, self.mode, self.constraints)

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
                who = f"{result.phase} {result.trial_id} ({_describe(result)})"
                notes.append(f"{who} {status}: {why}")
        return notes

    @cached_property
    def _known(self) -> list[Row]:
        """The rows that can be ranked and meet the constraints, best first."""
        keys = [objective.key for objective in self.goals]
        rows = [
            row
            for row in self._rows
            if all(key in row.statistics for key in keys) and is_feasible(row, self.constraints)
        ]
        return [rows[i] for i in best_first([self.ranked(row) for row in rows], self.goals)]

    def ranked(self, row: Row) -> Ranked:
        """Return the values that decide the rank of a row that can be ranked."""
        return Ranked(
            tuple(row.statistics[objective.key].mean for objective in self.goals),
            row.key,
            self.diverged(row) > 0,
            row.survived,
        )


def best_of(
    row: Row, metric: str, mode: str, constraints: Sequence[Constraint] = ()
) -> TrialResult:
    """Return the best search of a row that has a value of the metric.

    Args:
        row: The row.
        metric: Metric to rank by.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.
        constraints: Searches that violate one are left out.
    """
    searches = feasible_trials(row, constraints)
    if metric == RETRAIN:
        sought, key = {trial.trial_id: trial for trial in searches}, "test_accuracy"
        pairs = [(metric_value(r, key), sought.get(r.parent or "", r)) for r in row.retrained]
    else:
        pairs = [(metric_value(trial, metric), trial) for trial in searches]
    known = [(value, trial) for value, trial in pairs if value is not None]
    choose = max if mode == "max" else min
    return choose(known, key=lambda pair: pair[0])[1]


def _describe(result: TrialResult) -> str:
    values, seed = values_label(result.parameters), f"seed {result.seed}"
    return f"{values}, {seed}" if values else seed
