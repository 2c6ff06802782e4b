"""The trials that a sweep varies, and the trial of one choice of values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tune_nas import library
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.parameters import TRIAL
from tune_nas.sweep.trial_values import trial_values, values_text


@dataclass(frozen=True)
class BaseTrials:
    """The trials that a sweep varies, with its fixed keys set.

    Args:
        trials: The trials by the sweep's name for them; one, unless the trial itself is swept.
        folder: Directory that relative paths in the trials and swept values are relative to.
        retraining: The section ``retrain`` of each trial under each setting of the retraining runs,
            by the names of both. Stored with a run, since a custom recipe may change before a
            resume; empty if they are yet to be resolved.
    """

    trials: Mapping[str, TrialConfig]
    folder: str = field(default_factory=os.getcwd)
    retraining: Mapping[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)

    @property
    def first(self) -> TrialConfig:
        """The only trial, or the first of the swept ones."""
        return next(iter(self.trials.values()))

    def of(self, chosen: Mapping[str, object]) -> TrialConfig:
        """Return the trial that the chosen values vary; the first if they do not name one."""
        return self.named(chosen)[1]

    def named(self, chosen: Mapping[str, object]) -> tuple[str, TrialConfig]:
        """Return the name and the trial that the chosen values vary, as `of` does."""
        name = str(chosen.get(TRIAL, ""))
        return (name, self.trials[name]) if name in self.trials else next(iter(self.trials.items()))

    def values(self, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """Return the values of keys that are not swept."""
        name, _ = self.named(chosen)
        return self._values[name]

    @cached_property
    def _values(self) -> dict[str, dict[str, object]]:
        """The values of each trial, by its name; read for every key of every sample."""
        return {name: trial_values(trial) for name, trial in self.trials.items()}


class Resolved(NamedTuple):
    """The trials of a sweep.

    Args:
        trials: As `resolve_trials` returns them.
        points: The validated trials, each with the values of the swept keys.
    """

    trials: list[tuple[dict[str, object], int, TrialConfig]]
    points: list[tuple[dict[str, object], TrialConfig]]


def resolve(
    sweep: SweepConfig, bases: BaseTrials, parameters: Mapping[str, object], seed: int
) -> TrialConfig:
    """Return the trial for one choice of parameters and one seed.

    A swept key whose condition is not met keeps the value of the trial; if that makes the trial
    invalid, it gets its default (e.g. λ of a trial whose level is swept).

    Raises:
        ConfigError: If the values do not fit together.
    """
    text = values_text(parameters)
    keys = {key: value for key, value in parameters.items() if key != TRIAL}

    def made(**changes: object) -> TrialConfig:
        own = {**changes, **keys, "seed": seed}
        return library.with_overrides(bases.of(parameters), own, f"sweep '{sweep.name}' at {text}")

    left_out = sweep.parameters.keys() - parameters.keys() - {TRIAL}
    try:
        return made()
    except ConfigError:
        if not left_out:
            raise
        usual = trial_values(TrialConfig())
        with suppress(ConfigError):
            return made(**{key: usual[key] for key in left_out & usual.keys()})
        raise
