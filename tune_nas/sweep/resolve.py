"""Resolving a sweep to its trials: read the file, set fixed keys, validate every combination."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tune_nas import library
from tune_nas.config import TrialConfig, dotted_keys, scaled
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by, decides
from tune_nas.config.flat_settings import check_spelled_once
from tune_nas.config.options.option_keys import possible_keys, split_option
from tune_nas.config.section import optional_sections
from tune_nas.errors import ConfigError
from tune_nas.shipped import check_kind, find
from tune_nas.sweep.baseline_key import baseline_of
from tune_nas.sweep.config import EPOCHS, SweepConfig
from tune_nas.sweep.ineffective_keys import check_set, check_swept
from tune_nas.sweep.parameters import (
    MOST_TRIALS,
    TRIAL,
    Parameter,
    check_conditions,
    combinations,
    count_combinations,
    first_values,
    meets,
    ordered,
)
from tune_nas.sweep.resolution import BaseTrials, Resolved, resolve
from tune_nas.sweep.retrain_grid import RetrainGrid
from tune_nas.sweep.retrain_trials import (
    EMBEDDED,
    check_settings,
    count_genotypes,
    retrain_trials,
)
from tune_nas.sweep.trial_values import portable, reported, trial_values, values_text
from tune_nas.sweep.valid_samples import valid_samples
from tune_nas.tasks import find_task, is_own, task_of
from tune_nas.text import shown

_LONGEST = 200  # characters of the swept values in a message
_MOST_CHECKED = 512  # combinations of range ends that are validated before a sampled sweep starts
_MOST_SAMPLED = 64  # valid samples that show the effects of fixed keys if others are redrawn


def load_sweep(name_or_path: str | Path, **changes: Any) -> SweepConfig:
    """Read a sweep by name or path, with top-level keys changed.

    Args:
        name_or_path: A shipped sweep or the path of a YAML file.
        changes: Keys of `SweepConfig` with their new values. ``set`` is added to that of the file;
            a key set this way is not swept, nor is one whose condition it leaves unmet.
            ``epochs`` overrides every ``schedule.epochs`` of the file. A number or ``each`` for
            ``retrain`` changes only the number of genotypes of a grid in the file.

    Raises:
        ConfigError: If the file, a key, a value or any trial of a grid is not valid, or a fixed or
            swept key has no effect.
    """
    path = find("sweep", name_or_path)
    content = {"name": path.stem, **library.read_yaml(path)}
    check_kind(content, "sweep", name_or_path)
    own = library.validate(SweepConfig, content, str(name_or_path))
    assigned = dict(changes.pop("set", {}))
    content.update(changes)
    if isinstance(own.retrain, RetrainGrid) and isinstance(changes.get("retrain"), int | str):
        content["retrain"] = {**own.retrain.to_dict(), "genotypes": changes["retrain"]}
    gone = set(assigned)
    if "epochs" in changes:
        gone.add(EPOCHS)
        for key in ("set", "embedded"):
            content[key] = _without_epochs(content.get(key) or {})
    elif EPOCHS in assigned:
        content.pop("epochs", None)
    content["set"] = {**(content.get("set") or {}), **assigned}
    content["set_in"] = {
        name: {key: value for key, value in keys.items() if key not in assigned}
        for name, keys in own.set_in.items()
    }
    gone |= {key for key, parameter in own.parameters.items() if _unmet(parameter, assigned)}
    content["parameters"] = {
        key: value for key, value in content["parameters"].items() if key not in gone
    }
    if isinstance(content.get("baseline"), Mapping):
        content["baseline"] = {k: v for k, v in content["baseline"].items() if k not in gone}
    sweep = library.validate(SweepConfig, content, f"sweep '{name_or_path}'")
    if not sweep.parameters:
        raise ConfigError(f"sweep '{name_or_path}': no parameters are left to sweep; add one")
    _check_effects(sweep, [*assigned, *([EPOCHS] if "epochs" in changes else [])])
    return sweep


def base_trials(sweep: SweepConfig) -> BaseTrials:
    """Return the sweep's trials with its fixed keys set.

    Raises:
        ConfigError: If no trial has this name, or the keys do not fit one of them.
    """
    swept = sweep.parameters.get(TRIAL)
    names = [sweep.trial] if swept is None else swept.values
    return BaseTrials({str(name): _base_trial(sweep, str(name)) for name in names})


def _base_trial(sweep: SweepConfig, name: str) -> TrialConfig:
    where = f"trial '{name}'"
    own, fixed = library.load_trial(name), sweep.set
    own = library.with_overrides(own, sweep.set_in.get(name, {}), where)
    if sweep.epochs is not None:
        own = library.with_overrides(own, scaled(own.to_dict(), sweep.epochs), where)
        fixed = _without_epochs(fixed)
    trial = library.with_overrides(own, fixed, where)
    if trial.data.name == EMBEDDED and sweep.embedded:
        return library.with_overrides(own, {**sweep.embedded, **fixed}, where)
    return trial


def _check_effects(sweep: SweepConfig, changed: Sequence[str]) -> None:
    """Resolve a sweep, and reject fixed or swept keys without effect.

    A custom task may read any key, so its keys are not checked.

    Args:
        sweep: The sweep.
        changed: Keys set by the caller, not by the file.
    """
    bases = base_trials(sweep)
    _, points = resolve_points(sweep, bases)
    if is_own(sweep.task):
        return
    check_swept(sweep, points)

    def is_needed(key: str) -> bool:
        """Return whether a trial is invalid without a fixed key."""
        fixed = {other: value for other, value in sweep.set.items() if other != key}
        own = {
            name: {other: value for other, value in keys.items() if other != key}
            for name, keys in sweep.set_in.items()
        }
        without = sweep.model_copy(update={"set": fixed, "set_in": own})
        try:
            _resolve_points(without, base_trials(without))
        except ConfigError:
            return True
        return False

    under_settings = [
        ({TRIAL: name}, variant)
        for name, trial in bases.trials.items()
        for _, variant in retrain_trials(sweep, bases, trial, {TRIAL: name})
    ]
    check_set(sweep, [*points, *under_settings], changed, is_needed)


def resolve_trials(
    sweep: SweepConfig, bases: BaseTrials | None = None
) -> list[tuple[dict[str, object], int, TrialConfig]]:
    """Return the trials of a grid, or the base trials of a sampled sweep, all validated.

    Args:
        sweep: The sweep.
        bases: Its trials, with its fixed keys set; None reads them from the sweep.

    Returns:
        Tuples ``(parameters, seed, trial)``. For random and tpe, the base trials without
        parameters; combinations of their range ends and choices were validated.

    Raises:
        ConfigError: If a trial is not valid; names the sweep, the values and the rule.
    """
    return resolve_points(sweep, bases or base_trials(sweep)).trials


class _Kept(NamedTuple):
    """The sweep that was resolved last, apart from its name, which decides nothing."""

    sweep: SweepConfig
    bases: BaseTrials
    resolved: Resolved


_last: _Kept | None = None


def resolve_points(sweep: SweepConfig, bases: BaseTrials) -> Resolved:
    """Resolve and validate the trials of a sweep.

    Loading a sweep, its plan and its estimate resolve the same trials, which may be thousands; the
    trials that were resolved last are kept.

    Raises:
        ConfigError: As `resolve_trials` does.
    """
    global _last
    if _last is None or (_last.bases, _last.sweep) != (bases, _unnamed(sweep)):
        _last = _Kept(_unnamed(sweep), bases, _resolve_points(sweep, bases))
    return _last.resolved


def _unnamed(sweep: SweepConfig) -> SweepConfig:
    return sweep.model_copy(update={"name": ""})


def _resolve_points(sweep: SweepConfig, bases: BaseTrials) -> Resolved:
    where = f"sweep '{sweep.name}'"
    for key, parameter in sweep.parameters.items():
        _check_leaf(key, where)
        for condition in parameter.when:
            _check_leaf(condition, f"{where}, when of {key}")
            if split_option(condition) is not None and condition not in sweep.parameters:
                raise ConfigError(
                    f"{where}: when of {key} names '{condition}', an option that is not swept; "
                    f"name its key, {' or '.join(sorted(possible_keys(condition)))}"
                )
    conditions = (key for parameter in sweep.parameters.values() for key in parameter.when)
    try:
        check_spelled_once({**sweep.parameters, **sweep.set, **dict.fromkeys(conditions)})
        fixed = [trial_values(trial) for trial in bases.trials.values()]
        check_conditions(sweep.parameters, fixed)
        if sweep.baseline is not None:
            baseline_of(sweep.parameters, sweep.baseline, fixed=bases.values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    if sweep.searcher == "grid":
        _check_size(sweep, bases, where)
    points = combinations(sweep.parameters, bases.values)
    if sweep.searcher == "grid":
        trials = list(_grid(sweep, bases, points))
        checked = [(parameters, trial) for parameters, _, trial in trials]
    elif sweep.invalid == "redraw":
        checked = valid_samples(sweep, bases, _MOST_SAMPLED)
        trials = [({}, sweep.seed_list[0], trial) for trial in bases.trials.values()]
    else:
        seed = sweep.seed_list[0]
        some = list(itertools.islice(points, _MOST_CHECKED))
        checked = [(values, resolve(sweep, bases, values, seed)) for values in some]
        for values in first_values(sweep.parameters):
            _check_first(sweep, bases, values)
        trials = [({}, seed, trial) for trial in bases.trials.values()]
    try:
        grid = sweep.searcher == "grid"
        searched = len(trials) // len(sweep.seed_list) if grid else sweep.n_drawn
        genotypes = count_genotypes(sweep, searched)
        sweep.retrain_grid.check_count(genotypes)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    check_settings(sweep, bases)
    if sweep.scheduler == "asha":
        others = [] if sweep.searcher == "grid" else list(_of_any_length(sweep, bases))
        _check_lengths(sweep, [*checked, *others], bases.folder)
    return Resolved(trials, checked)


def _check_first(sweep: SweepConfig, bases: BaseTrials, values: dict[str, object]) -> None:
    """Reject priors of all keys of a trial that do not fit together; others are completed later.

    Raises:
        ConfigError: If they do not.
    """
    chosen: dict[str, object] = {}
    for key in ordered(sweep.parameters):
        if sweep.parameters[key].active({**bases.values(chosen), **chosen}):
            if key not in values:
                return
            chosen[key] = values[key]
    resolve(sweep, bases, chosen, sweep.seed_list[0])


def _check_size(sweep: SweepConfig, bases: BaseTrials, where: str) -> None:
    """Reject a grid with too many trials before they are created."""
    seeds = len(sweep.seed_list)
    most = MOST_TRIALS // seeds
    points = count_combinations(sweep.parameters, bases.values, most)
    if points > most:
        raise ConfigError(
            f"{where}: the grid has at least {points:,} combinations with {seeds:,} "
            f"{'seed' if seeds == 1 else 'seeds'} each, but a sweep must have at most "
            f"{MOST_TRIALS:,} trials; list fewer values, or take searcher 'random' or 'tpe'"
        )


def _of_any_length(
    sweep: SweepConfig, bases: BaseTrials
) -> Iterator[tuple[dict[str, object], TrialConfig]]:
    """Yield trials of a sampled sweep in which only the keys that decide their length vary."""
    swept = sweep.parameters
    names = {key for key in swept if key == TRIAL or decides(key, Decides.LENGTH)}
    while more := {c for key in names for c in swept[key].when if c in swept} - names:
        names |= more
    points = combinations({key: swept[key] for key in swept if key in names}, bases.values)
    for point in itertools.islice(points, _MOST_CHECKED):
        with suppress(ConfigError):  # it may be valid only with other values of the remaining keys
            yield point, resolve(sweep, bases, point, sweep.seed_list[0])


def _grid(
    sweep: SweepConfig, bases: BaseTrials, points: Iterator[dict[str, object]]
) -> Iterator[tuple[dict[str, object], int, TrialConfig]]:
    given: dict[str, dict[str, object]] = {}
    for parameters in points:
        for seed in sweep.seed_list:
            trial = resolve(sweep, bases, parameters, seed)
            values = reported(parameters, trial)
            if (twin := given.setdefault(repr((values, seed)), parameters)) is not parameters:
                raise ConfigError(
                    f"sweep '{sweep.name}': {shown(parameters, _LONGEST)} is "
                    f"{shown(twin, _LONGEST)} once more; give each value once"
                )
            yield values, seed, trial


def _check_lengths(
    sweep: SweepConfig, trials: Sequence[tuple[Mapping[str, object], TrialConfig]], folder: str
) -> None:
    """Reject a grace period as long as a trial, and trials that ASHA could not compare."""
    by_length: dict[int, str] = {}
    known: dict[str, int] = {}
    for parameters, trial in trials:
        decides = repr(decided_by(trial, Decides.LENGTH))
        task = find_task(task_of(sweep.task, trial))
        known[decides] = known.get(decides) or task.epochs(portable(trial, folder))
        text = str(parameters.get(TRIAL) or values_text(parameters))
        by_length.setdefault(known[decides], text)
    shortest, longest = min(by_length), max(by_length)
    if shortest != longest:
        raise ConfigError(
            f"sweep '{sweep.name}': scheduler 'asha' compares trials of one length, but "
            f"'{by_length[shortest]}' has {shortest} epochs and '{by_length[longest]}' {longest}; "
            "set epochs, or take scheduler 'none'"
        )
    if sweep.asha.grace_period >= shortest:
        raise ConfigError(
            f"sweep '{sweep.name}': asha.grace_period is {sweep.asha.grace_period}, but must be "
            f"less than {EPOCHS}, which is {shortest}; give more epochs, or take scheduler 'none'"
        )


def _unmet(parameter: Parameter, assigned: Mapping[str, object]) -> bool:
    """Return whether the fixed keys leave a condition of a parameter unmet."""
    when = parameter.when
    return any(not meets(assigned[key], when[key]) for key in when.keys() & assigned.keys())


def _without_epochs(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings without the number of epochs, and with the other keys of its section.

    The whole section would override all keys that were scaled.
    """
    section, _ = EPOCHS.split(".")
    inner = settings.get(section)
    if isinstance(inner, Mapping):
        own = {f"{section}.{key}": value for key, value in inner.items()}
        settings = {**{key: v for key, v in settings.items() if key != section}, **own}
    return {key: value for key, value in settings.items() if key != EPOCHS}


def _check_leaf(key: str, where: str) -> None:
    if key == TRIAL:
        return
    library.check_key(key, where)
    if key in optional_sections(TrialConfig):  # as a whole, e.g. null or the decisions of SGAS
        return
    if split_option(key) is None and key not in dotted_keys(TrialConfig):
        raise ConfigError(f"{where}: '{key}' is a section; name one of its keys, e.g. {key}.…")
