"""The trials of a sweep's retraining runs: a searched trial under each setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tune_nas import library
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.report.labels import SETTING
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.parameters import TRIAL
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.retrain_grid import MODEL_SIZES, RetrainSetting

EMBEDDED = "digits"
"""The data set for which a sweep's keys under ``embedded`` apply."""

_SECTION = "retrain"
_RECIPE = f"{_SECTION}.recipe"


def count_genotypes(sweep: SweepConfig, points: int) -> int:
    """Return the number of genotypes that a sweep retrains, or at least one if that is not known.

    Args:
        sweep: The sweep.
        points: Number of combinations of a grid's values, or of searches.
    """
    # Once configurations have been repeated, only these are retrained.
    most = min(points, sweep.repeat_best) if sweep.repeat_best else points
    if isinstance(sweep.retrained, int):
        return min(sweep.retrained, most)
    if sweep.retrained != "each":
        return 1  # it follows from the searches
    return most if sweep.searcher == "grid" else max(1, sweep.repeat_best)


def retrain_trials(
    sweep: SweepConfig, bases: BaseTrials, trial: TrialConfig, chosen: Mapping[str, object]
) -> Iterator[tuple[str, TrialConfig]]:
    """Yield the name of each setting, and the trial with that setting.

    Without settings, yield the trial itself, with an empty name. A setting with a recipe replaces
    the section ``retrain``; keys of that section that the sweep gives (``embedded``, ``set_in`` and
    ``set``) win over those of the recipe.

    Args:
        sweep: The sweep.
        bases: Its trials, with its fixed keys set.
        trial: The trial of a search.
        chosen: The swept values of that search.

    Raises:
        ConfigError: If a recipe or key is unknown, or a value is invalid; names the setting.
    """
    settings = sweep.retrain_grid.settings
    if not settings:
        yield "", trial
    stored = bases.retraining.get(bases.named(chosen)[0], {})
    for setting in settings:
        where = _where(sweep, setting.name)
        if setting.name in stored:
            section = stored[setting.name]
            yield setting.name, library.stored_trial({**trial.to_dict(), _SECTION: section}, where)
            continue
        keys = _keys(sweep, bases, setting, chosen)
        yield setting.name, library.with_overrides(_base(trial, keys), keys, where)


def resolved_sections(
    sweep: SweepConfig, bases: BaseTrials
) -> dict[str, dict[str, Mapping[str, object]]]:
    """Return the section ``retrain`` of each trial under each setting, by the names of both."""
    return {
        name: {
            setting: variant.retrain.to_dict()
            for setting, variant in retrain_trials(sweep, bases, trial, {TRIAL: name})
            if setting
        }
        for name, trial in bases.trials.items()
    }


def with_settings(sweep: SweepConfig, bases: BaseTrials, jobs: Sequence[Job]) -> list[Job]:
    """Return the retraining runs of some genotypes, with every seed and under every setting.

    All genotypes are trained with the first seed before any is with the second.

    Args:
        sweep: The sweep.
        bases: Its trials, with its fixed keys set.
        jobs: A retraining run of each genotype; the ids are not changed.
    """
    own: list[Job] = []
    for job in jobs:
        for setting, trial in retrain_trials(sweep, bases, job.trial, job.parameters):
            named = {**job.parameters, SETTING: setting} if setting else job.parameters
            own.append(dataclasses.replace(job, trial=trial, parameters=named))
    seeds = sweep.retrain_grid.seeds_from(sweep.seed_list[0])
    if not seeds:
        return own
    return [
        dataclasses.replace(job, trial=job.trial.model_copy(update={"seed": seed}))
        for seed in seeds
        for job in own
    ]


def check_settings(sweep: SweepConfig, bases: BaseTrials) -> None:
    """Check the genotypes and settings of a sweep's retraining runs with each of its trials.

    Raises:
        ConfigError: If a setting is invalid, or one of its keys has no effect in any of the trials;
            if a search trains candidates, and so has no genotypes of each model size.
    """
    if sweep.retrained == MODEL_SIZES:
        for name, trial in bases.trials.items():
            if trial.strategy is not None:
                raise ConfigError(
                    f"sweep '{sweep.name}': retrain is '{MODEL_SIZES}', but the black-box search "
                    f"of trial '{name}' keeps no genotype of each size; take 'frontier' or 'each'"
                )
    if bases.retraining:  # checked before they were stored
        return
    for setting in sweep.retrain_grid.settings:
        refused: list[ConfigError] = []
        for name, trial in bases.trials.items():
            keys = _keys(sweep, bases, setting, {TRIAL: name})
            library.with_overrides(_base(trial, keys), keys, _where(sweep, setting.name))
            try:
                _check_effect(sweep, setting, trial, keys)
            except ConfigError as error:
                refused.append(error)
        if len(refused) == len(bases.trials):
            raise refused[0]


def keys_of_section(settings: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the dotted keys of the section ``retrain`` among settings, with their values."""
    for key, value in settings.items():
        if key == _SECTION and isinstance(value, Mapping):
            for inner, entry in value.items():
                yield f"{_SECTION}.{inner}", entry
        elif key.startswith(f"{_SECTION}."):
            yield key, value


@contextmanager
def naming(sweep: SweepConfig, setting: str) -> Iterator[None]:
    """Start the message of a ConfigError with the name of a setting; not if that is empty."""
    try:
        yield
    except ConfigError as error:
        if not setting:
            raise
        raise ConfigError(f"{_where(sweep, setting)}: {error}") from error


def _check_effect(
    sweep: SweepConfig, setting: RetrainSetting, trial: TrialConfig, keys: Mapping[str, object]
) -> None:
    own = [f"{_SECTION}.{key}" for key in setting.keys]
    others = {key: value for key, value in keys.items() if key not in own}
    where, base = _where(sweep, setting.name), _base(trial, keys)
    library.with_settings(
        lambda settings: library.with_overrides(base, {**others, **settings}, where),
        {key: keys[key] for key in own},
        where,
    )


def _keys(
    sweep: SweepConfig, bases: BaseTrials, setting: RetrainSetting, chosen: Mapping[str, object]
) -> dict[str, object]:
    """Return the keys of the section that a setting and the sweep give."""
    own = {f"{_SECTION}.{key}": value for key, value in setting.keys.items()}
    if _RECIPE not in own:  # the trial, which is then the base, has the keys of the sweep
        return own
    name, base = bases.named(chosen)
    given = [sweep.set_in.get(name, {}), sweep.embedded if base.data.name == EMBEDDED else {}]
    of_sweep = {key: value for settings in given for key, value in keys_of_section(settings)}
    return {**of_sweep, **own, **dict(keys_of_section(sweep.set))}


def _base(trial: TrialConfig, keys: Mapping[str, object]) -> TrialConfig:
    """Return the trial, without the recipe that it has if a setting names one.

    A setting then means the same whatever the recipe of the trial is.
    """
    if _RECIPE not in keys:
        return trial
    section = trial.retrain.model_copy(update={"recipe": None})
    return trial.model_copy(update={_SECTION: section})


def _where(sweep: SweepConfig, setting: str) -> str:
    return f"sweep '{sweep.name}', setting '{setting}'"
