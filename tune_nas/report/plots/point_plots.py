"""Points of trials in a panel, in the colors and markers of their swept values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from tune_nas.pareto import Mode
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import BENCHMARK, RETRAIN, MetricName, metric_name
from tune_nas.report.plots.series import Style
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import metric_value


def draw_points(
    panel: Axes,
    points: Sequence[tuple[float, float]],
    style: Style,
    *,
    marker: str | None = None,
    size: float = 5.5,
    alpha: float = 0.8,
) -> None:
    """Draw points without a line between them.

    Args:
        panel: Where to draw.
        points: The points; nothing is drawn if there are none.
        style: Color and marker.
        marker: Another marker.
        size: Size of a marker in points.
        alpha: Opacity.
    """
    if not points:
        return
    own = marker or style.marker
    filled = own not in ("x", "1", "2")
    edge = style.color if not filled else "none" if style.many else "white"
    panel.plot(
        [x for x, _ in points],
        [y for _, y in points],
        linestyle="none",
        marker=own,
        markersize=size,
        color=style.color,
        markeredgecolor=edge,
        markeredgewidth=0.5 if filled else 1.2,
        alpha=alpha,
        zorder=3,
    )


def search_metric(comparison: Comparison) -> tuple[MetricName, Mode]:
    """Return the metric that ranks searches, and its mode.

    It is the ranked metric or, if only retraining runs have it, the validation accuracy.
    """
    if comparison.rank_by.key == RETRAIN:
        return comparison.valid_accuracy, "max"
    return comparison.rank_by, comparison.mode


def finite_metric(trial: TrialResult, key: str) -> float:
    """Return a trial's value of a metric, or nan; see `metric_value`."""
    value = metric_value(trial, key)
    return math.nan if value is None else value


@dataclass(frozen=True)
class KnownAccuracies:
    """The accuracies of genotypes.

    Args:
        name: The metric.
        mode: Whether the largest or the smallest is best.
        values: Its value by the trial id of the search.
        most: Largest number of values in a mean; 1 if they are single values.
    """

    name: MetricName
    mode: Mode
    values: dict[str, float]
    most: int = 1


def best_known_accuracies(comparison: Comparison) -> KnownAccuracies:
    """Return the most meaningful accuracies of the genotypes of searches that ran to their end.

    These are the retrained networks' if at least two genotypes were retrained; else the
    benchmark's if it is known; else the values of the ranked metric. Several retraining runs of a
    genotype give their mean.
    """
    rows = comparison.rows()
    retrained: dict[str, list[float]] = {}
    for run in (run for row in rows for run in row.retrained):
        value = metric_value(run, "test_accuracy")
        if value is not None and run.parent is not None:
            retrained.setdefault(run.parent, []).append(value)
    if len(retrained) > 1:
        means = {trial: math.fsum(values) / len(values) for trial, values in retrained.items()}
        return KnownAccuracies(
            metric_name(RETRAIN), "max", means, max(map(len, retrained.values()))
        )

    def known(name: MetricName, mode: Mode) -> KnownAccuracies:
        trials = [trial for row in rows for trial in (*row.trials, *row.searched)]
        values = {trial.trial_id: metric_value(trial, name.key) for trial in trials}
        return KnownAccuracies(name, mode, {k: v for k, v in values.items() if v is not None})

    true = known(metric_name(BENCHMARK), "max")
    return true if true.values else known(*search_metric(comparison))
