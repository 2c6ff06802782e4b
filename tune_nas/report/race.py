"""A race over seeds: configurations get further seeds only while they can still win.

The decisions depend on nothing but the results, so the sweep that runs a race and the report that
describes it replay the same function.

References:
    López-Ibáñez et al., The irace package: Iterated racing for automatic algorithm configuration,
    Operations Research Perspectives 3, 2016; Hutter et al., Sequential model-based optimization for
    general algorithm configuration, LION 5, 2011 (intensification: the same seeds for challenger
    and incumbent). The rule by which a configuration is dropped is our own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import scipy

from tune_nas.report.labels import VALID_ACCURACY, SweptValue
from tune_nas.report.ranking import rank_key
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import configuration_of, has_diverged, metric_value

Configuration = tuple[SweptValue, ...]
"""The values of the swept keys, as `normalize` returns them."""

Outcomes = Mapping[int, float | None]
"""For each seed whose trial has ended: its value, NaN if it diverged, or None if it failed."""

_LEAST_WITHOUT_SPREAD = 3


@dataclass(frozen=True)
class RaceRule:
    """The rule of a race.

    Args:
        seeds: The seeds of a configuration that stays in the race to its end, in order.
        least: Number of seeds that every configuration gets; then one seed is added per round.
        metric: The metric that is compared.
        mode: Whether the largest (``max``) or the smallest (``min``) mean wins.
        threshold: A configuration is dropped if its probability to win is below this.
    """

    seeds: tuple[int, ...]
    least: int
    metric: str = VALID_ACCURACY
    mode: str = "max"
    threshold: float = 0.05


@dataclass(frozen=True)
class Drop:
    """Why a configuration was dropped.

    Args:
        seeds: Number of its seeds when it was dropped.
        probability: Its probability to win; None if it diverged or has no value.
        behind: By how much its mean was worse than that of the best configuration, over their
            common seeds; None if it diverged or has no value.
    """

    seeds: int
    probability: float | None = None
    behind: float | None = None


@dataclass(frozen=True)
class Race:
    """The state of a race.

    Args:
        trials: Every trial that has been due so far, as configuration and seed, in order.
        dropped: The configurations that were dropped.
        rounds: Number of seeds for which all trials have ended and a decision was made.
        over: Whether no further trial will be due once the trials so far have ended.
        most: Number of trials without a decision: every configuration with every seed.
    """

    trials: tuple[tuple[Configuration, int], ...]
    dropped: Mapping[Configuration, Drop]
    rounds: int
    over: bool
    most: int

    def survived(self, configuration: Configuration) -> float:
        """Return the number of seeds after which a configuration was dropped; inf if it was not."""
        drop = self.dropped.get(configuration)
        return math.inf if drop is None else drop.seeds

    def total(self, rule: RaceRule) -> int:
        """Return the number of trials if no further configuration is dropped."""
        if self.over:
            return len(self.trials)
        alive = len({configuration for configuration, _ in self.trials} - self.dropped.keys())
        return len(self.trials) + alive * (len(rule.seeds) - self._seeds_due())

    def _seeds_due(self) -> int:
        return len({seed for _, seed in self.trials})


def run_race(rule: RaceRule, outcomes: Mapping[Configuration, Outcomes]) -> Race:
    """Return the state of a race, given the trials that have ended.

    A round ends when all of its trials have ended, so the order in which they end does not matter.
    Then the configurations are compared with the leader, the one with the best mean. One that
    has diverged is dropped, unless all have; and so is one without any value. Every other one is
    dropped if `win_probability` is below the threshold. The race ends when a single configuration
    is left, or all seeds are used.

    Args:
        rule: The rule.
        outcomes: The outcomes of each configuration; the best of the search phase first.
    """
    alive = list(outcomes)
    trials: list[tuple[Configuration, int]] = []
    dropped: dict[Configuration, Drop] = {}
    most = len(alive) * len(rule.seeds)
    done = 0
    for due in range(rule.least, len(rule.seeds) + 1):
        new = [(each, seed) for seed in rule.seeds[done:due] for each in alive]
        trials += new
        if any(seed not in outcomes[each] for each, seed in new):
            return Race(tuple(trials), dropped, done, False, most)
        done = due
        if due < len(rule.seeds):
            lost = _decide(rule, {each: outcomes[each] for each in alive}, done)
            dropped |= lost
            alive = [each for each in alive if each not in lost]
            if len(alive) <= 1:
                break
    return Race(tuple(trials), dropped, done, True, most)


def repeat_outcomes(
    axes: Sequence[str], results: Iterable[TrialResult], metric: str
) -> dict[Configuration, dict[int, float | None]]:
    """Return the outcomes of the repeats that have ended, as `run_race` takes them.

    Args:
        axes: The swept keys.
        results: The trials that have ended, of every phase.
        metric: The metric that is compared.
    """
    found: dict[Configuration, dict[int, float | None]] = {}
    for result in results:
        if result.phase == "repeat":
            value = metric_value(result, metric) if result.status == "finished" else None
            outcome = math.nan if has_diverged(result, metric) else value
            found.setdefault(configuration_of(axes, result.parameters), {})[result.seed] = outcome
    return found


def race_of(
    axes: Sequence[str], results: Iterable[TrialResult], rule: RaceRule | None
) -> Race | None:
    """Return the race that repeats were part of.

    Args:
        axes: The swept keys.
        results: The trials that have ended, of every phase.
        rule: The rule of the race.

    Returns:
        None without a rule or a repeat.
    """
    if rule is None:
        return None
    outcomes = repeat_outcomes(axes, results, rule.metric)
    return run_race(rule, outcomes) if outcomes else None


def win_probability(differences: Sequence[float], left: int) -> float:
    """Return the probability that a configuration overtakes the leader by the last seed.

    The differences d₁, …, dₙ to the leader, at common seeds, are taken to be independent samples
    of a normal distribution with unknown mean and variance. With m further seeds, N = n + m, the
    predictive distribution of their mean over all N seeds is Student's t with n − 1 degrees of
    freedom, centered at d̄ and scaled by s √(1/n − 1/N), so the probability of a mean above 0 is
    T_{n−1}(d̄ / (s √(1/n − 1/N))). For large N, this is the p-value of the one-sided paired t-test.

    Args:
        differences: Value of the configuration minus that of the leader; positive is better.
        left: Number of further seeds m, at least 1.

    Returns:
        1 if there are fewer than 2 differences: nothing is known about their spread. Without any
        spread (s = 0), 1 for fewer than 3 differences, since discrete values may coincide;
        otherwise 0 unless the mean is positive.
    """
    n = len(differences)
    if n < 2:
        return 1.0
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation == 0:
        return 1.0 if n < _LEAST_WITHOUT_SPREAD or mean > 0 else 0.0
    scale = deviation * math.sqrt(1 / n - 1 / (n + left))
    return float(scipy.special.stdtr(n - 1, mean / scale))


def _decide(
    rule: RaceRule, outcomes: Mapping[Configuration, Outcomes], done: int
) -> dict[Configuration, Drop]:
    """Return the configurations that are dropped after a round."""
    seeds = rule.seeds[:done]
    values = {
        each: {seed: value for seed in seeds if (value := own[seed]) is not None}
        for each, own in outcomes.items()
    }
    sound = {
        each: own
        for each, own in values.items()
        if own and all(math.isfinite(value) for value in own.values())
    }
    if not sound:
        return {}
    lost = {each: Drop(done) for each in outcomes if each not in sound}

    def rank(each: Configuration) -> tuple[object, ...]:
        return rank_key(statistics.fmean(sound[each].values()), each, mode=rule.mode)

    leader = min(sound, key=rank)
    sign = 1 if rule.mode == "max" else -1
    for each, own in sound.items():
        if each == leader:
            continue
        common = [seed for seed in seeds if seed in own and seed in sound[leader]]
        differences = [sign * (own[seed] - sound[leader][seed]) for seed in common]
        probability = win_probability(differences, len(rule.seeds) - done)
        if probability < rule.threshold:
            behind = 0.0 - statistics.fmean(differences)  # no negative zero
            lost[each] = Drop(done, probability, behind)
    return lost
