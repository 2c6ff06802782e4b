"""Rejects keys of a sweep that have no effect: their trials would be identical."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from tune_nas.config import TrialConfig
from tune_nas.config.analysis_keys import read_by_probes
from tune_nas.config.effects import NoEffect, no_effect, set_keys, set_value
from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.parameters import TRIAL
from tune_nas.user_code import declared_reads

Point = tuple[Mapping[str, object], TrialConfig]
"""The swept values of a trial, and the trial."""

_ANALYSIS, _RETRAINING = "analysis.", "retrain."
_COUNTED = ("retrain.init_channels", "retrain.cells")  # a search counts parameters at that size


def check_swept(sweep: SweepConfig, points: Iterable[Point]) -> None:
    """Reject a swept key that has no effect in some trial: it needs a condition (``when``).

    In a random or TPE search, a key is not judged by the values of a range, since only its two
    ends are among the points.

    Raises:
        ConfigError: If there is one; names the key, the value that makes it ineffective, and the
            condition.
    """
    ranges = {key for key, parameter in sweep.parameters.items() if parameter.is_range}
    refused: dict[str, NoEffect] = {}
    effective: set[str] = set()
    for parameters, trial in points:
        for key in parameters.keys() - {TRIAL}:
            reason = _swept_in_vain(sweep, trial, key)
            if reason is None:
                effective.add(key)
            elif not ranges & set(reason.keys):
                refused.setdefault(key, reason)
    for key in sweep.parameters:
        if key in refused:
            reason = refused[key]
            where = f"sweep '{sweep.name}': {key} is swept, but has no effect where {reason.found}"
            if key in effective and reason.when:
                (other, wanted), *_ = reason.when.items()
                advice = f"add when: {{{other}: {_yaml(wanted)}}} to it"
            else:
                advice = f"it needs {reason.needs}"
            raise ConfigError(f"{where}; {advice}")


def check_set(
    sweep: SweepConfig,
    points: Iterable[Point],
    changed: Collection[str],
    is_needed: Callable[[str], bool],
) -> None:
    """Reject a fixed key (``set``, ``set_in``) without effect in all trials in which it is set.

    Args:
        sweep: The sweep.
        points: Its trials.
        changed: Keys that the caller has changed in the file; keys of the file that become
            ineffective by them are accepted.
        is_needed: Whether some trial is invalid without a fixed key: such a key is accepted.

    Raises:
        ConfigError: If there is one; names the key, the value that makes it ineffective, and the
            required value.
    """
    trials = [(parameters.get(TRIAL, sweep.trial), trial) for parameters, trial in points]
    groups: list[tuple[str, Mapping[str, object], list[TrialConfig]]] = [
        ("set", sweep.set, [trial for _, trial in trials]),
        *(
            (f"set_in of '{name}'", keys, [trial for own, trial in trials if own == name])
            for name, keys in sweep.set_in.items()
        ),
    ]
    for where, settings, found in groups:
        for key, setting in set_keys(settings):
            reasons = [no_effect(trial, key, declared_reads) for trial in found]
            reason = reasons[0] if reasons and None not in reasons else None
            if reason is None or is_needed(setting):
                continue
            if setting not in changed and any(
                _overlap(key, other) for key in reason.keys for other in changed
            ):
                continue
            value = set_value(found[0], key)
            raise ConfigError(f"sweep '{sweep.name}': {where} has {key}: {value!r}, which {reason}")


def _swept_in_vain(sweep: SweepConfig, trial: TrialConfig, key: str) -> NoEffect | None:
    if key.startswith(_ANALYSIS):
        if read_by_probes(trial, key, declared_reads):
            return None
        found = f"task is '{sweep.task}'"
        needs = "the analysis of a finished search, or a probe that reads it"
        return NoEffect(key, found, needs, ("task",), {})
    of_retraining = key.startswith(_RETRAINING)
    # The section also has the training of the candidates of a black-box search, but its length.
    by_search = key in _COUNTED or (trial.strategy is not None and key != "retrain.epochs")
    if sweep.retrained == 0 and of_retraining and not by_search:
        return NoEffect(key, "retrain is 0", "retrain 'each' or a number", ("retrain",), {})
    return no_effect(trial, key, declared_reads)


def _overlap(key: str, other: str) -> bool:
    """Return whether one key is the other, or part of it."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _yaml(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
