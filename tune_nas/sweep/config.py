"""The YAML model of a sweep: which trial, what is varied, who draws, what follows."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas import library
from tune_nas.config import Count, Section, TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.sweep.parameters import (
    Parameter,
    check_conditions,
    combinations,
    meets,
    ordered,
)

Seed = Annotated[int, Field(ge=0, lt=2**31)]
_EMBEDDED = "digits"
_DEFAULT_TRIALS = 20
_DEFAULT_BEST = 3
_MOST_CHECKED = 512  # combinations of range ends that are validated before a drawn sweep starts
RETRAIN_METRIC = "retrain/test_accuracy"
_METRICS = (
    "valid_accuracy",
    "valid_loss",
    "train_accuracy",
    "train_loss",
    "gap",
    RETRAIN_METRIC,
)
_METRIC_PREFIXES = ("benchmark/", "genotype/", "entropy/")
_NOT_SWEPT = {"seed": "seeds", "name": "name", "description": "description"}


class AshaConfig(Section):
    """Asynchronous successive halving: who is stopped early.

    Args:
        grace_period: Epochs that every trial gets.
        reduction_factor: One in so many goes on at each rung. Early accuracy ranks the best
            configurations poorly, so promote gently: from 2 to 3.
    """

    grace_period: Count = 4
    reduction_factor: Annotated[float, Field(ge=2, le=3)] = 2.0


class RepeatConfig(Section):
    """A second stage: the best configurations again, over several seeds, to their end.

    Args:
        best: How many configurations.
        seeds: Over how many seeds, new ones: the first stage's value was chosen for being
            high. None takes as many as the sweep's own.
    """

    best: Count = _DEFAULT_BEST
    seeds: Count | None = None


class SweepConfig(Section):
    """Many searches and their comparison.

    Args:
        trial: The trial that is varied: a shipped name or the path of a YAML file.
        set: Dotted keys to set in it for every trial.
        embedded: More of them, for as long as the data are the embedded digits: sizes at which a
            first sweep takes minutes. With other data the trial's own hold. ``set`` goes before.
        parameters: Dotted keys to vary, each with its values.
        seeds: How many seeds for each grid point (counted from ``seed``), or a list of them.
            random and tpe search each configuration once, with the first, and repeat the best
            over as many new ones.
        searcher: ``grid``: every combination; ``random`` or ``tpe`` (Optuna): ``trials`` drawn.
        scheduler: ``asha`` stops hopeless trials early; ``none`` runs each to its end.
        trials: How many configurations random and tpe draw; None for 20.
        metric: What the sweep ranks by: ``valid_accuracy`` of the supernet, another metric of a
            search (``benchmark/cifar10_test`` where a table is configured), or
            ``retrain/test_accuracy``; searches are then drawn, stopped and picked for the
            retraining by ``valid_accuracy``.
        mode: Whether the largest (``max``) or the smallest (``min``) metric is best.
        repeat: The second stage; None repeats the best 3 of a drawn sweep with several seeds.
        retrain: ``each`` (the best genotype of every swept value; in a drawn sweep, of every
            repeated configuration), a number (of the best configurations), or 0.
        seed: Decides the first seed, and what random and tpe draw.
    """

    name: str = "sweep"
    description: str = ""
    trial: str
    set: dict[str, Any] = Field(default_factory=dict)
    embedded: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Parameter]
    seeds: int | list[int] = 1
    searcher: Literal["grid", "random", "tpe"] = "grid"
    scheduler: Literal["none", "asha"] = "none"
    asha: AshaConfig = AshaConfig()
    trials: Count | None = None
    metric: Annotated[str, Field(min_length=1)] = "valid_accuracy"
    mode: Literal["max", "min"] = "max"
    repeat: RepeatConfig | None = None
    retrain: int | Literal["each"] = "each"
    seed: Seed = 0

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        least = 0 if isinstance(value, list) else 1
        whole = all(isinstance(seed, int) and not isinstance(seed, bool) for seed in listed)
        if not listed or not whole or min(listed) < least or max(listed) >= 2**31:
            raise ValueError("must be a number of seeds, at least 1, or a list of seeds >= 0")
        if len(listed) != len(set(listed)):
            raise ValueError("must not name a seed twice")
        return value

    @field_validator("retrain", mode="before")
    @classmethod
    def _retrain(cls, value: Any) -> Any:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if value != "each" and not (type(value) is int and value >= 0):
            raise ValueError("must be 'each', a number of configurations, or 0 for none")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> SweepConfig:
        for key, option in _NOT_SWEPT.items():
            if key in self.parameters or key in self.set or key in self.embedded:
                raise ValueError(f"'{key}' of a trial is set by the sweep's '{option}'")
        ordered(self.parameters)
        both = sorted(self.parameters.keys() & self.set.keys())
        if both:
            raise ValueError(f"'{both[0]}' is under parameters and under set; give it once")
        known = _METRICS + tuple(f"{prefix}…" for prefix in _METRIC_PREFIXES)
        if self.metric not in _METRICS and not self.metric.startswith(_METRIC_PREFIXES):
            near = difflib.get_close_matches(self.metric, _METRICS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
            raise ValueError(f"metric is '{self.metric}', which no trial reports{hint}")
        if self.metric == RETRAIN_METRIC and self.retrain == 0:
            raise ValueError(f"metric is '{self.metric}', but retrain is 0; retrain 'each'")
        if self.searcher == "grid":
            self._check_grid()
        if self.scheduler == "asha" and "schedule.epochs" in self.parameters:
            raise ValueError(
                "scheduler 'asha' compares trials of one length, but parameters vary "
                "schedule.epochs; take scheduler 'none'"
            )
        return self

    @property
    def seed_list(self) -> list[int]:
        """The seeds, counted out."""
        if isinstance(self.seeds, int):
            return [self.seed + offset for offset in range(self.seeds)]
        return list(self.seeds)

    @property
    def repeat_seeds(self) -> list[int]:
        """The seeds of the second stage."""
        searched = self.seed_list if self.searcher == "grid" else self.seed_list[:1]
        repeats = self.repeat.seeds if self.repeat is not None else None
        first = max(searched) + 1
        return [first + offset for offset in range(repeats or len(self.seed_list))]

    @property
    def repeat_best(self) -> int:
        """How many configurations the second stage repeats; 0 where there is no such stage."""
        if self.repeat is not None:
            return self.repeat.best
        drawn = self.searcher != "grid" and len(self.seed_list) > 1
        return min(_DEFAULT_BEST, self.n_drawn) if drawn else 0

    @property
    def search_metric(self) -> str:
        """What searches are drawn, stopped and picked by."""
        return "valid_accuracy" if self.metric == RETRAIN_METRIC else self.metric

    @property
    def n_drawn(self) -> int:
        """How many configurations random and tpe draw."""
        return self.trials or _DEFAULT_TRIALS

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers with the names that YAML uses."""
        parameters = {key: value.to_dict() for key, value in self.parameters.items()}
        return {**super().to_dict(), "parameters": parameters}

    def _check_grid(self) -> None:
        for key, parameter in self.parameters.items():
            if parameter.is_range:
                raise ValueError(
                    f"{key} is a range ({parameter.kind}), which searcher 'grid' cannot run "
                    "through; take searcher 'random' or 'tpe', or list the values"
                )
        if self.trials is not None:
            raise ValueError(
                f"trials is {self.trials}, but searcher 'grid' runs every combination; "
                "take searcher 'random' or 'tpe'"
            )


def load_sweep(name_or_path: str | Path, **changes: Any) -> SweepConfig:
    """Read a sweep by name or path, with top-level keys changed.

    Args:
        name_or_path: A shipped sweep or the path of a YAML file.
        changes: Keys of `SweepConfig` with their new values; ``set`` is added to the file's own,
            and a key set so is no longer swept, nor is one whose condition it leaves unmet.

    Raises:
        ConfigError: If the file, a key, a value or any trial of a grid is not valid.
    """
    path = library.find("sweep", name_or_path)
    content = {"name": path.stem, **library.read_yaml(path)}
    own = library.validate(SweepConfig, content, str(name_or_path))
    assigned = dict(changes.pop("set", {}))
    content.update(changes)
    content["set"] = {**(content.get("set") or {}), **assigned}
    unmet = {key for key, parameter in own.parameters.items() if _unmet(parameter, assigned)}
    content["parameters"] = {
        key: value
        for key, value in content["parameters"].items()
        if key not in assigned and key not in unmet
    }
    sweep = library.validate(SweepConfig, content, f"sweep '{name_or_path}'")
    if not sweep.parameters:
        raise ConfigError(f"sweep '{name_or_path}': parameters has none left to vary; give one")
    resolve_trials(sweep)
    return sweep


def resolve_trials(
    sweep: SweepConfig, base: TrialConfig | None = None
) -> list[tuple[dict[str, Any], int, TrialConfig]]:
    """Return the trials of a grid, or the base trial of a drawn sweep: all of them validated.

    Args:
        sweep: The sweep.
        base: Its trial, with its fixed keys set; None reads it.

    Returns:
        ``(parameters, seed, trial)`` each. For random and tpe the one base trial, without
        parameters; the combinations of their ends and choices were validated.

    Raises:
        ConfigError: If any trial is not valid; names the sweep, the values and the rule.
    """
    where = f"sweep '{sweep.name}'"
    for key, parameter in sweep.parameters.items():
        _check_leaf(key, where)
        for condition in parameter.when:
            _check_leaf(condition, f"{where}, when of {key}")
    base = base or base_trial(sweep)
    try:
        check_conditions(sweep.parameters, trial_values(base))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    if sweep.scheduler == "asha" and sweep.asha.grace_period >= base.schedule.epochs:
        raise ConfigError(
            f"{where}: asha.grace_period is {sweep.asha.grace_period}, but must be less than "
            f"schedule.epochs, which is {base.schedule.epochs}"
        )
    if sweep.metric.startswith("benchmark/") and base.benchmark.table is None:
        raise ConfigError(
            f"{where}: metric is '{sweep.metric}', but no table is configured; "
            "set benchmark.table to the path of nasbench201.csv.gz"
        )
    if sweep.searcher != "grid":
        for parameters in itertools.islice(_points(sweep, base), _MOST_CHECKED):
            resolve(sweep, base, parameters, sweep.seed_list[0])
        return [({}, sweep.seed_list[0], base)]
    trials = []
    for parameters in _points(sweep, base):
        for seed in sweep.seed_list:
            trial = resolve(sweep, base, parameters, seed)
            # YAML reads 1e-3 as text: report the values that the trial made of them.
            values = trial_values(trial)
            trials.append(({key: values[key] for key in parameters}, seed, trial))
    return trials


def base_trial(sweep: SweepConfig) -> TrialConfig:
    """Return the sweep's trial with its fixed keys set."""
    trial = library.load_trial(sweep.trial, sweep.set)
    if trial.data.name == _EMBEDDED and sweep.embedded:
        return library.load_trial(sweep.trial, {**sweep.embedded, **sweep.set})
    return trial


def resolve(
    sweep: SweepConfig, base: TrialConfig, parameters: dict[str, Any], seed: int
) -> TrialConfig:
    """Return the trial of one choice of parameters and one seed.

    Raises:
        ConfigError: If the values do not go together.
    """
    text = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return library.with_overrides(
        base, {**parameters, "seed": seed}, where=f"sweep '{sweep.name}' at {text}"
    )


def trial_values(trial: TrialConfig) -> dict[str, Any]:
    """Return every dotted key of a trial with its value; None for those of an absent section."""
    content = trial.to_dict()
    values = {}
    for key in library.dotted_keys(TrialConfig):
        value: Any = content
        for part in key.split("."):
            value = None if value is None else value[part]
        values[key] = value
    return values


def _points(sweep: SweepConfig, base: TrialConfig) -> Iterator[dict[str, Any]]:
    return combinations(sweep.parameters, trial_values(base))


def _unmet(parameter: Parameter, assigned: dict[str, Any]) -> bool:
    """Return whether keys that are set leave a condition of a parameter unmet."""
    when = parameter.when
    return any(not meets(assigned[key], when[key]) for key in when.keys() & assigned.keys())


def _check_leaf(key: str, where: str) -> None:
    library.check_key(key, where)
    if key not in library.dotted_keys(TrialConfig):
        raise ConfigError(f"{where}: '{key}' is a section; name one of its keys, as {key}.…")
