"""Rejects points and retraining settings of a sweep that amount to the same trial."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.errors import ConfigError
from tune_nas.search.effective import EffectiveValues
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.ineffective_keys import Point
from tune_nas.sweep.parameters import TRIAL
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.retrain_trials import naming, retrain_trials
from tune_nas.text import shown

_LONGEST = 200  # characters of the swept values in a message


class Configurations:
    """Distinguishes trials by everything that decides their results.

    Args:
        keys: The keys in which they may differ.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._values = EffectiveValues(keys)

    def of(self, trial: TrialConfig) -> str:
        """Return everything that decides a trial's result except its seed, as text.

        Raises:
            ConfigError: If the trial's space cannot be loaded, or its augmentation does not fit.
            DataError: If its images cannot be read.
        """
        return json.dumps({**self._values.of(trial), "seed": None}, sort_keys=True)


def check_distinct(sweep: SweepConfig, points: Iterable[Point]) -> None:
    """Reject two choices of values that give equal trials.

    Args:
        sweep: The sweep.
        points: Its trials; for random or TPE, those of the ends of ranges.

    Raises:
        ConfigError: If there are two such choices; names both.
        DataError: If images, on which the keys of an augmentation depend, cannot be read.
    """
    configurations = Configurations(sweep.parameters)
    known: dict[tuple[str, int], dict[str, object]] = {}
    for parameters, trial in points:
        own = dict(parameters)
        twin = known.setdefault((configurations.of(trial), trial.seed), own)
        if twin is not own:
            raise ConfigError(
                f"sweep '{sweep.name}': {shown(own, _LONGEST)} amounts to the same trial as "
                f"{shown(twin, _LONGEST)}; give one of them"
            )


def check_distinct_settings(sweep: SweepConfig, bases: BaseTrials) -> None:
    """Reject two settings that amount to the same training of a genotype.

    Raises:
        ConfigError: If there are two such settings; names both.
        DataError: If images, on which the keys of an augmentation depend, cannot be read.
    """
    values = EffectiveValues(
        [key for key in dotted_keys(TrialConfig) if key.startswith("retrain.")]
    )
    for name, trial in bases.trials.items():
        known: dict[str, str] = {}
        for setting, variant in retrain_trials(sweep, bases, trial, {TRIAL: name}):
            with naming(sweep, setting):
                section = values.of(variant)["retrain"]
            assert isinstance(section, dict)
            content = json.dumps({**section, "recipe": None}, sort_keys=True, default=str)
            twin = known.setdefault(content, setting)
            if twin != setting:
                raise ConfigError(
                    f"sweep '{sweep.name}': retrain.recipes: '{setting}' amounts to the same "
                    f"training as '{twin}'; give one of them"
                )
