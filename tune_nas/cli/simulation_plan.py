"""The searches that `tune-nas benchmark simulate` compares: trials, values of keys, and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import yaml

from tune_nas.benchmark import DATA, TrainingTable
from tune_nas.candidates.simulation import check_simulated, check_space
from tune_nas.candidates.simulation_runs import Simulation
from tune_nas.cli.option_values import changes_of
from tune_nas.config import TrialConfig
from tune_nas.config.effects import no_effect, set_keys
from tune_nas.errors import ConfigError
from tune_nas.library import check_key, load_trial, read_yaml, with_overrides
from tune_nas.shipped import find, nearest
from tune_nas.spaces import load_space
from tune_nas.text import brief, plain_text
from tune_nas.user_code import declared_reads
from tune_nas.yaml_text import parse_yaml

_BUDGET = "strategy.budget"


@dataclass(frozen=True)
class Comparison:
    """What is compared, as given on the command line.

    Args:
        trials: Names or files of trials.
        seeds: Number of seeds, from 0.
        budget: Training epochs, ascending, with commas; None for ``strategy.budget``.
        workers: Number of jobs at a time.
        data: Data set of the searches; None for that of each trial, or CIFAR-10.
        settings: Keys that are set, ``KEY=VALUE``.
        vary: Keys with several values, ``KEY=A,B``.
    """

    trials: Sequence[str]
    seeds: int
    budget: str | None
    workers: int
    data: str | None
    settings: Sequence[str]
    vary: Sequence[str]


@dataclass(frozen=True)
class Compared:
    """One line of the comparison: the searches of a trial with the same settings.

    Args:
        label: Its name.
        budgets: Training epochs at which it is compared.
        searches: The searches, by seed.
    """

    label: str
    budgets: Sequence[int]
    searches: Sequence[Simulation]


def compared(comparison: Comparison, table: TrainingTable) -> list[Compared]:
    """Return the searches by trial and values.

    A key is set where it has an effect, in one trial at least.

    Raises:
        ConfigError: If a trial, key or value is invalid, a trial has no strategy, or the table
            lacks what a search needs.
    """
    budgets = None if comparison.budget is None else _budgets(comparison.budget)
    data = None if comparison.data is None else _data(comparison.data)
    changes = changes_of(None, comparison.settings)
    axes = [_axis(text) for text in comparison.vary]
    keys = {*changes, *(key for key, _ in axes)}
    if budgets is not None and _BUDGET in keys:
        raise ConfigError(f"--budget and {_BUDGET} both set the budget; give one")
    found: dict[str, Compared] = {}
    read: set[str] = set()
    for name in comparison.trials:
        _check_strategy(name, keys)
        of_trial: dict[str, Compared] = {}
        for values in product(*(of_key for _, of_key in axes)):
            varied = dict(zip((key for key, _ in axes), values, strict=True))
            last = {} if budgets is None else {_BUDGET: budgets[-1]}
            settings = _read_keys(name, {**changes, **varied, **last})
            read |= settings.keys()
            trial = load_trial(name, settings)
            named = [
                f"{key.rpartition('.')[2]}={plain_text(value)}"
                for key, value in varied.items()
                if key in settings
            ]
            label = " ".join([trial.name, *named])
            of_trial[label] = _searches(label, trial, comparison, budgets, data, table)
        twice = next(iter(of_trial.keys() & found.keys()), None)
        if twice is not None:
            raise ConfigError(f"'{brief(twice)}' is there twice; name each trial once")
        found |= of_trial
    for key in sorted(keys - read):  # no trial reads it: the message says why
        one = {**{axis: values[0] for axis, values in axes}, **changes}
        first = comparison.trials[0]
        load_trial(first, {**_read_keys(first, one), key: one[key]})
    return list(found.values())


def _read_keys(name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that have an effect on a trial; those of others are not its own."""
    trial = with_overrides(load_trial(name), settings, f"trial '{name}'")
    read = {
        setting
        for key, setting in set_keys(settings)
        if no_effect(trial, key, declared_reads) is None
    }
    return {key: value for key, value in settings.items() if key in read}


def _searches(
    label: str,
    trial: TrialConfig,
    comparison: Comparison,
    budgets: Sequence[int] | None,
    data: str | None,
    table: TrainingTable,
) -> Compared:
    strategy = trial.strategy
    assert strategy is not None  # checked before
    check_space(load_space(trial.space.name).name)
    own = trial.data.name.replace("-", "_")
    of_search = data or (own if own in DATA else DATA[0])
    check_simulated(strategy, table, of_search)
    searches = [
        Simulation(label, trial, of_search, comparison.workers, seed)
        for seed in range(comparison.seeds)
    ]
    return Compared(label, budgets or [strategy.budget], searches)


def _check_strategy(name: str, keys: set[str]) -> None:
    """Check that a trial has a strategy, which setting its budget would else add."""
    content = read_yaml(find("trial", name))
    if content.get("strategy") is None and not any(key.startswith("strategy") for key in keys):
        raise ConfigError(
            f"trial '{brief(name)}' has no strategy, so it cannot be simulated; name a black-box "
            "search, e.g. random-search"
        )


def _budgets(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or found != sorted({*found}) or found[0] < 1:
        raise ConfigError(
            f"--budget is '{brief(text)}', but must be ascending numbers of epochs, e.g. 300,1200"
        )
    return found


def _data(name: str) -> str:
    known = [data.replace("_", "-") for data in DATA]
    if name not in known:
        raise ConfigError(
            f"--data is '{brief(name)}', but the benchmark knows {', '.join(known)}"
            f"{nearest(name, known)}"
        )
    return name.replace("-", "_")


def _axis(text: str) -> tuple[str, list[object]]:
    """Return the key and the values of ``KEY=A,B``; a list is written ``[12,200]``."""
    key, equals, values = text.partition("=")
    check_key(key, "--vary")
    try:
        found = parse_yaml(f"[{values}]") if equals and values.strip() else None
    except yaml.YAMLError:
        found = None
    if not isinstance(found, list):
        raise ConfigError(f"--vary is '{brief(text)}', but must be KEY=A,B,…, each A as in YAML")
    return key, found
