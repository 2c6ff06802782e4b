"""The importance of the swept keys for the ranked metric, by fANOVA.

Imported only when it is drawn, since it imports Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from tune_nas.figures.palette import INK, PALETTE
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import MetricName, SweptValue, axis_label, normalize
from tune_nas.report.plots.panels import new_figure, shortened, style_axes
from tune_nas.report.plots.point_plots import search_metric
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.value_scale import ValueScale, scale_of
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import has_diverged, metric_value

FEWEST = 10
"""Fewer searches than this give no importance."""
_SEED = 0
_MOST_TREES, _FEWEST_TREES = 64, 16
_MOST_SAMPLES = 6_400  # of all trees; the time of one grows with the square of its samples


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of a metric over the range of the values that were tried.

    Args:
        shares: Swept key → share that the key alone explains, the largest first. The rest to 1 is
            of combinations of keys and of what the forest does not explain.
        name: The metric.
        n: Number of searches.
        diverged: Number of them that diverged and count as the worst finite value.
        epoch: The epoch of the values; None if they are those of the last one.
        left_out: Keys that not all of the searches have.
    """

    shares: dict[str, float]
    name: MetricName
    n: int
    diverged: int
    epoch: int | None
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Observation:
    values: dict[str, SweptValue]
    target: float | None  # None for a search that diverged


def trees_of(n: int) -> int:
    """Return the number of trees of a forest over n searches.

    Optuna's 64 for up to 100 searches; from 400 on, 16 give the same shares to about 0.015.
    """
    return max(_FEWEST_TREES, min(_MOST_TREES, _MOST_SAMPLES // max(n, 1)))


def importance_of(comparison: Comparison) -> Importance | str:
    """Return the importance of the swept keys, or a sentence that says why there is none.

    Optuna's fANOVA (Hutter et al., "An Efficient Approach for Assessing Hyperparameter
    Importance", ICML 2014), chosen explicitly with a fixed seed: Optuna's default evaluator depends
    on its version. It is over the searches of the first phase. A diverged search counts as the
    worst finite value. If searches were stopped early, all are compared at the last epoch that
    every one of them reached.
    """
    name, mode = search_metric(comparison)
    epoch, observations = _observe(comparison, name.key)
    finite = [each.target for each in observations if each.target is not None]
    if len(observations) < FEWEST or not finite:
        return (
            f"The importance of the keys is not estimated from fewer than {FEWEST} searches; here "
            f"are {len(observations)} with a value."
        )
    worst = min(finite) if mode == "max" else max(finite)
    scales: dict[str, ValueScale] = {}
    left_out = []
    for axis in comparison.axes:
        values = [each.values[axis] for each in observations]
        if any(value is None for value in values):
            left_out.append(axis)
        elif len(set(values)) > 1:
            scales[axis] = scale_of(values)
    if len(scales) < 2:
        return "The importance of the keys needs two that all searches have and that vary."
    targets = [worst if each.target is None else each.target for each in observations]
    if min(targets) == max(targets):
        return f"The keys have no importance: {name.words} is the same in all searches."
    return Importance(
        _fanova(scales, [each.values for each in observations], targets),
        name,
        len(observations),
        len(observations) - len(finite),
        epoch,
        tuple(left_out),
    )


def plot_importance(importance: Importance) -> ReportPlot:
    """Draw the importance of the swept keys as bars."""
    shares = importance.shares
    figure = new_figure(0.9 + 0.34 * len(shares))
    panel = figure.add_subplot()
    places = range(len(shares), 0, -1)
    panel.barh(places, list(shares.values()), height=0.6, color=PALETTE[0], alpha=0.85)
    for place, share in zip(places, shares.values(), strict=True):
        panel.annotate(
            f"{share:.2f}",
            (share, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    panel.set_yticks(places, [shortened(axis_label(axis)) for axis in shares])
    panel.set_xlim(0, max(1.0, *shares.values()) * 1.08)
    style_axes(panel, f"share of the variance of {importance.name.words}", "", grid="x")
    return ReportPlot("importance", "Importance of the swept keys", _caption(importance), figure)


def _caption(importance: Importance) -> str:
    forest = f"{trees_of(importance.n)} trees, seed {_SEED}"
    at = "" if importance.epoch is None else f" at epoch {importance.epoch}, which all reached"
    sentences = [
        "The share of the variance that a key explains alone, over the range of the values that "
        f"were tried: fANOVA of Optuna {optuna.__version__} ({forest}), from n = {importance.n} "
        f"searches{at}. The rest to 1 is of combinations of keys."
    ]
    if importance.diverged:
        sentences.append(
            f"{importance.diverged} of them diverged and count as the worst finite value."
        )
    if importance.left_out:
        names = " and ".join(axis_label(axis) for axis in importance.left_out)
        sentences.append(
            f"Not every search has {names}: left out, with the effect ascribed to other keys."
        )
    sentences.append("With few searches, this is a rough estimate.")
    return " ".join(sentences)


def _observe(comparison: Comparison, key: str) -> tuple[int | None, list[_Observation]]:
    """Return the epoch at which searches are compared, and the searches with their values."""
    searches = [result for result in comparison.results if result.phase == "search"]
    lost = {t.trial_id for t in searches if has_diverged(t, comparison.rank_by.key)}
    alive = [t for t in searches if t.trial_id not in lost and t.status != "failed"]
    stopped = any(trial.status == "stopped early" for trial in alive)
    epoch = min((len(trial.history) for trial in alive), default=0) if stopped else None
    observations = []
    for trial in searches:
        target = None
        if trial.trial_id not in lost:
            target = _value(trial, key, epoch) if trial in alive else None
            if target is None:
                continue
        values = {axis: normalize(trial.parameters.get(axis)) for axis in comparison.axes}
        observations.append(_Observation(values, target))
    return epoch, observations


def _value(trial: TrialResult, key: str, epoch: int | None) -> float | None:
    if epoch is None:
        return metric_value(trial, key)
    value = trial.history[epoch - 1].get(key, math.nan) if epoch else math.nan
    return value if math.isfinite(value) else None


def _fanova(
    scales: dict[str, ValueScale],
    values: Sequence[dict[str, SweptValue]],
    targets: Sequence[float],
) -> dict[str, float]:
    """Return the share of each key; a logarithmic scale counts by its logarithms."""
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    for axis, scale in scales.items():
        if scale.numeric:
            ends = (scale.number(scale.values[0]), scale.number(scale.values[-1]))
            distributions[axis] = optuna.distributions.FloatDistribution(*ends)
        else:
            distributions[axis] = optuna.distributions.CategoricalDistribution(
                tuple(range(len(scale.values)))
            )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # else it announces the study
    try:
        study = optuna.create_study()
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={
                        axis: scale.number(each[axis])
                        if scale.numeric
                        else scale.values.index(each[axis])
                        for axis, scale in scales.items()
                    },
                    distributions=distributions,
                    value=target,
                )
                for each, target in zip(values, targets, strict=True)
            ]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(
            n_trees=trees_of(len(targets)), seed=_SEED
        )
        shares = evaluator.evaluate(study, params=list(scales))
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {axis: float(share) for axis, share in shares.items()}
