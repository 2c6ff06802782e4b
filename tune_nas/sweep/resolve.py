"""From a sweep to its trials: reading the file, fixing its keys, every combination validated."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_nas import library
from tune_nas.benchmark import AUTO, SPACE, find_table, user_table
from tune_nas.config import DataConfig, TrialConfig, dotted_keys, scaled
from tune_nas.errors import ConfigError
from tune_nas.manifest import is_reference
from tune_nas.paths import absolute, is_file
from tune_nas.sweep.config import EPOCHS, SweepConfig
from tune_nas.sweep.effects import check_set, check_swept
from tune_nas.sweep.parameters import (
    MOST_TRIALS,
    TRIAL,
    Parameter,
    check_conditions,
    combinations,
    count_combinations,
    meets,
)
from tune_nas.text import plain_text, shown

_EMBEDDED = "digits"
_DECIDE_LENGTH = (TRIAL, "space", "schedule", "selection", "start_from")
_LONGEST = 200  # characters of a choice of values in a message
_MOST_CHECKED = 512  # combinations of range ends that are validated before a drawn sweep starts


@dataclass(frozen=True)
class BaseTrials:
    """The trials that a sweep varies, with its fixed keys set in them.

    Args:
        trials: By the names that the sweep has for them; one, unless the trial itself is swept.
        folder: What relative paths in them, and among the swept values, are relative to.
    """

    trials: Mapping[str, TrialConfig]
    folder: str = field(default_factory=os.getcwd)

    @property
    def first(self) -> TrialConfig:
        """The only trial, or the first of those that are swept."""
        return next(iter(self.trials.values()))

    def of(self, chosen: Mapping[str, Any]) -> TrialConfig:
        """Return the trial that the chosen values vary; the first if they do not say."""
        return self.trials.get(chosen.get(TRIAL, ""), self.first)

    def values(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that keys have where they are not swept."""
        return trial_values(self.of(chosen))


def load_sweep(name_or_path: str | Path, **changes: Any) -> SweepConfig:
    """Read a sweep by name or path, with top-level keys changed.

    Args:
        name_or_path: A shipped sweep or the path of a YAML file.
        changes: Keys of `SweepConfig` with their new values. ``set`` is added to the file's own,
            and a key set so is no longer swept, nor is one whose condition it leaves unmet;
            ``epochs`` takes the place of every ``schedule.epochs`` of the file.

    Raises:
        ConfigError: If the file, a key, a value or any trial of a grid is not valid, or a key that
            is set or swept has no effect.
    """
    path = library.find("sweep", name_or_path)
    content = {"name": path.stem, **library.read_yaml(path)}
    own = library.validate(SweepConfig, content, str(name_or_path))
    assigned = dict(changes.pop("set", {}))
    content.update(changes)
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
    sweep = library.validate(SweepConfig, content, f"sweep '{name_or_path}'")
    if not sweep.parameters:
        raise ConfigError(f"sweep '{name_or_path}': parameters has none left to vary; give one")
    _check_effects(sweep, [*assigned, *([EPOCHS] if "epochs" in changes else [])])
    return sweep


def base_trials(sweep: SweepConfig) -> BaseTrials:
    """Return the sweep's trials with its fixed keys set.

    Raises:
        ConfigError: If there is no such trial, or the keys do not fit one of them.
    """
    swept = sweep.parameters.get(TRIAL)
    names = [str(sweep.trial)] if swept is None else swept.values
    return BaseTrials({name: _base_trial(sweep, name) for name in names})


def _base_trial(sweep: SweepConfig, name: str) -> TrialConfig:
    where = f"trial '{name}'"
    own, fixed = library.load_trial(name), sweep.set
    own = library.with_overrides(own, sweep.set_in.get(name, {}), where)
    if sweep.epochs is not None:
        own = library.with_overrides(own, scaled(own.to_dict(), sweep.epochs), where)
        fixed = _without_epochs(fixed)
    trial = library.with_overrides(own, fixed, where)
    if trial.data.name == _EMBEDDED and sweep.embedded:
        return library.with_overrides(own, {**sweep.embedded, **fixed}, where)
    return trial


def _check_effects(sweep: SweepConfig, changed: Sequence[str]) -> None:
    """Resolve a sweep, and refuse keys that are set or swept and have no effect.

    Args:
        sweep: The sweep.
        changed: Keys that the caller has set, not the file.
    """
    _, points = resolve_points(sweep, base_trials(sweep))
    check_swept(sweep, points)

    def is_needed(key: str) -> bool:
        """Return whether some trial is not valid without a fixed key."""
        fixed = {other: value for other, value in sweep.set.items() if other != key}
        own = {
            name: {other: value for other, value in keys.items() if other != key}
            for name, keys in sweep.set_in.items()
        }
        without = sweep.model_copy(update={"set": fixed, "set_in": own})
        try:
            resolve_points(without, base_trials(without))
        except ConfigError:
            return True
        return False

    check_set(sweep, points, changed, is_needed)


def resolve_trials(
    sweep: SweepConfig, bases: BaseTrials | None = None
) -> list[tuple[dict[str, Any], int, TrialConfig]]:
    """Return the trials of a grid, or the base trials of a drawn sweep: all of them validated.

    Args:
        sweep: The sweep.
        bases: Its trials, with its fixed keys set; None reads them.

    Returns:
        ``(parameters, seed, trial)`` each. For random and tpe the base trials, without
        parameters; the combinations of their ends and choices were validated.

    Raises:
        ConfigError: If any trial is not valid; names the sweep, the values and the rule.
    """
    return resolve_points(sweep, bases or base_trials(sweep))[0]


def resolve_points(
    sweep: SweepConfig, bases: BaseTrials
) -> tuple[list[tuple[dict[str, Any], int, TrialConfig]], list[tuple[dict[str, Any], TrialConfig]]]:
    """Return what `resolve_trials` does, and the trials that were validated, with their values."""
    where = f"sweep '{sweep.name}'"
    for key, parameter in sweep.parameters.items():
        _check_leaf(key, where)
        for condition in parameter.when:
            _check_leaf(condition, f"{where}, when of {key}")
    try:
        fixed = [trial_values(trial) for trial in bases.trials.values()]
        check_conditions(sweep.parameters, fixed)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    if sweep.searcher == "grid":
        _check_size(sweep, bases, where)
    points = combinations(sweep.parameters, bases.values)
    if sweep.searcher == "grid":
        trials = list(_grid(sweep, bases, points))
        checked = [(parameters, trial) for parameters, _, trial in trials]
    else:
        seed = sweep.seed_list[0]
        some = list(itertools.islice(points, _MOST_CHECKED))
        checked = [(values, resolve(sweep, bases, values, seed)) for values in some]
        trials = [({}, seed, trial) for trial in bases.trials.values()]
    if sweep.scheduler == "asha":
        others = [] if sweep.searcher == "grid" else list(_of_any_length(sweep, bases))
        _check_lengths(sweep, [*checked, *others], bases.folder)
    return trials, checked


def _check_size(sweep: SweepConfig, bases: BaseTrials, where: str) -> None:
    """Refuse a grid of more trials than anybody runs, before they are made."""
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
) -> Iterator[tuple[dict[str, Any], TrialConfig]]:
    """Yield trials of a drawn sweep in which what decides their length varies, and that alone."""
    swept = sweep.parameters
    names = {key for key in swept if key.split(".")[0] in _DECIDE_LENGTH}
    while more := {c for key in names for c in swept[key].when if c in swept} - names:
        names |= more
    points = combinations({key: swept[key] for key in swept if key in names}, bases.values)
    for point in itertools.islice(points, _MOST_CHECKED):
        with suppress(ConfigError):  # it may be legal with other values of the rest alone
            yield point, resolve(sweep, bases, point, sweep.seed_list[0])


def _grid(
    sweep: SweepConfig, bases: BaseTrials, points: Iterator[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], int, TrialConfig]]:
    given: dict[str, dict[str, Any]] = {}
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


def resolve(
    sweep: SweepConfig, bases: BaseTrials, parameters: Mapping[str, Any], seed: int
) -> TrialConfig:
    """Return the trial of one choice of parameters and one seed.

    A swept key whose condition does not hold is as the trial has it; by default if that makes no
    legal trial (λ of a trial whose level is swept).

    Raises:
        ConfigError: If the values do not go together.
    """
    text = _values_text(parameters)
    keys = {key: value for key, value in parameters.items() if key != TRIAL}

    def made(**changes: Any) -> TrialConfig:
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
            return made(**{key: usual[key] for key in left_out})
        raise


def portable(trial: TrialConfig, folder: str) -> TrialConfig:
    """Return a trial with absolute paths: workers, and a resume, run in other folders.

    Args:
        trial: The trial.
        folder: What its relative paths are relative to.
    """
    content = trial.to_dict()
    space = absolute(trial.space.name, folder)
    if is_file(space) and trial.space.name not in library.shipped_names("space"):
        content["space"]["name"] = space
    if is_reference(trial.data.name):
        content["data"]["module_dir"] = absolute(trial.data.module_dir or "", folder)
    if trial.data.dir is not None:
        content["data"]["dir"] = absolute(trial.data.dir, folder)
    if trial.start_from is not None:
        content["start_from"] = absolute(trial.start_from, folder)
    if trial.benchmark.table not in (None, AUTO):
        content["benchmark"]["table"] = absolute(trial.benchmark.table, folder)
    return library.validate(TrialConfig, content, f"trial '{trial.name}'")


def reported(parameters: Mapping[str, Any], trial: TrialConfig) -> dict[str, Any]:
    """Return swept keys with the values that the trial made of them: YAML reads 1e-3 as text."""
    values = {**trial_values(trial), TRIAL: parameters.get(TRIAL)}
    return {key: values[key] for key in parameters}


def trial_values(trial: TrialConfig) -> dict[str, Any]:
    """Return every dotted key of a trial with its value; None for those of an absent section."""
    content = trial.to_dict()
    values = {}
    for key in dotted_keys(TrialConfig):
        value: Any = content
        for part in key.split("."):
            value = None if value is None else value[part]
        values[key] = value
    return values


def _check_lengths(
    sweep: SweepConfig, trials: Sequence[tuple[Mapping[str, Any], TrialConfig]], folder: str
) -> None:
    """Refuse a grace period as long as a trial, and trials that ASHA could not compare."""
    from tune_nas.search import total_epochs

    by_length: dict[int, str] = {}
    known: dict[str, int] = {}
    for parameters, trial in trials:
        decides = repr((trial.space.name, trial.schedule, trial.selection, trial.start_from))
        known[decides] = known.get(decides) or total_epochs(portable(trial, folder))
        text = parameters.get(TRIAL) or _values_text(parameters)
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
            f"less than {EPOCHS}, which is {shortest}"
        )


def check_metric(sweep: SweepConfig, bases: BaseTrials) -> None:
    """Refuse to rank by true accuracies that no trial would report.

    Raises:
        ConfigError: If there is no table of the benchmark, or the space is not that of it.
    """
    if not sweep.metric.startswith("benchmark/"):
        return
    ranks = f"sweep '{sweep.name}': metric is '{sweep.metric}'"
    for trial in bases.trials.values():
        if find_table(trial.benchmark.table) is None:
            raise ConfigError(
                f"{ranks}, but there is no table at {user_table()}; write it with tune-nas "
                "benchmark import FILE, or set benchmark.table to one"
            )
        if trial.space.name != SPACE and trial.space.name in library.shipped_names("space"):
            raise ConfigError(
                f"{ranks}, which space '{trial.space.name}' does not have; it is for space "
                f"'{SPACE}'"
            )


def data_sections(sweep: SweepConfig, trials: Sequence[TrialConfig]) -> list[DataConfig]:
    """Return the data sections of trials, with those of swept data sets that are yet to be drawn.

    Args:
        sweep: The sweep.
        trials: As `resolve_trials` returns them.
    """
    swept = sweep.parameters.get("data.name")
    names = [] if swept is None else swept.values
    drawn = [trial.data.model_copy(update={"name": name}) for trial in trials for name in names]
    return [*(trial.data for trial in trials), *drawn]


def _values_text(parameters: Mapping[str, Any]) -> str:
    """Return swept keys with their values, for a message."""
    return ", ".join(f"{key}={plain_text(value)}" for key, value in parameters.items())


def _unmet(parameter: Parameter, assigned: Mapping[str, Any]) -> bool:
    """Return whether keys that are set leave a condition of a parameter unmet."""
    when = parameter.when
    return any(not meets(assigned[key], when[key]) for key in when.keys() & assigned.keys())


def _without_epochs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the number of epochs, and with the other keys of its section alone.

    The whole section would take the place of all that was scaled.
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
    if key not in dotted_keys(TrialConfig):
        raise ConfigError(f"{where}: '{key}' is a section; name one of its keys, as {key}.…")
