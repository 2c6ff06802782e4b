"""Random valid samples of a sweep, and checks of a sample before it runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.ineffective_keys import check_swept
from tune_nas.sweep.parameters import ordered
from tune_nas.sweep.resolution import BaseTrials, resolve
from tune_nas.sweep.trial_values import values_text
from tune_nas.tasks import Inputs, find_task, is_own, task_of

_MOST_SAMPLES = 1000


def valid_samples(
    sweep: SweepConfig, bases: BaseTrials, count: int
) -> list[tuple[dict[str, object], TrialConfig]]:
    """Return distinct random samples whose trials are valid, and the trials.

    They are the same in each call.

    Args:
        sweep: A sweep whose invalid samples are redrawn.
        bases: Its trials.
        count: Maximum number of samples; fewer if few of many random samples are valid.

    Raises:
        ConfigError: If no sample is valid; the reason is that of the last one.
    """
    found: list[tuple[dict[str, object], TrialConfig]] = []
    error: ConfigError | None = None
    known: set[str] = set()
    for chosen in _samples(sweep, bases):
        if len(found) == count:
            break
        if (text := repr(chosen)) in known:
            continue
        known.add(text)
        try:
            found.append((chosen, resolve_sample(sweep, bases, chosen)))
        except ConfigError as raised:
            error = raised
    if not found:
        raise ConfigError(f"{error}; so it is with each of {_MOST_SAMPLES} samples") from error
    return found


def resolve_sample(
    sweep: SweepConfig, bases: BaseTrials, chosen: Mapping[str, object]
) -> TrialConfig:
    """Return the trial of sampled values; if the sweep redraws, each of them has an effect in it.

    Raises:
        ConfigError: If the values do not fit together.
    """
    trial = resolve(sweep, bases, chosen, sweep.seed_list[0])
    if sweep.invalid == "redraw" and not is_own(sweep.task):
        check_swept(sweep, [(chosen, trial)])
    return trial


def check_starts(sweep: SweepConfig, chosen: Mapping[str, object], trial: TrialConfig) -> None:
    """Build the search of a sample once, on the CPU; names the sample in errors.

    Raises:
        ConfigError: If its parts do not fit the space or each other.
    """
    try:
        find_task(task_of(sweep.task, trial)).check(trial, Inputs())
    except ConfigError as error:
        text = values_text(chosen)
        raise ConfigError(f"sweep '{sweep.name}' at {text}: {error}") from error


def _samples(sweep: SweepConfig, bases: BaseTrials) -> Iterator[dict[str, object]]:
    """Yield samples in which every active key has one of its values, or an end of its range."""
    generator = random.Random(sweep.seed)
    keys = ordered(sweep.parameters)
    for _ in range(_MOST_SAMPLES):
        chosen: dict[str, object] = {}
        for key in keys:
            parameter = sweep.parameters[key]
            if parameter.active({**bases.values(chosen), **chosen}):
                chosen[key] = generator.choice(parameter.values)
        yield chosen
