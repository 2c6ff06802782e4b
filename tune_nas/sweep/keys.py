"""The keys of a sweep's YAML file, with their values and earlier spellings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tune_nas.config import Epochs, Section, TrialConfig
from tune_nas.config.section import check_part, current_settings, current_value
from tune_nas.sweep.objective_keys import (
    ObjectiveConfig,
    parse_constraint,
    with_first_objective,
)
from tune_nas.sweep.parameters import MOST_TRIALS, Parameter
from tune_nas.sweep.retrain_grid import Genotypes, RetrainGrid, genotype_count
from tune_nas.sweep.sampler_arguments import CmaEsConfig, GpConfig, NsgaConfig, TpeConfig
from tune_nas.sweep.searchers import SAMPLERS, check_searcher, sampled_ranges

SEEDS = 2**31  # counted from 0
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
TrialCount = Annotated[int, Field(ge=1, le=MOST_TRIALS)]
_MOST_KEYS = 200  # more than a trial has
DEFAULT_BEST = 3


class AshaConfig(Section):
    """Asynchronous successive halving (ASHA): stops unpromising trials early.

    Args:
        grace_period: Minimum number of epochs of every trial.
        reduction_factor: One in this many trials continues at each rung. Early accuracy ranks the
            best configurations poorly, so keep it small: from 2 to 3.
    """

    grace_period: Epochs = 4
    reduction_factor: Annotated[float, Field(ge=2, le=3)] = 2.0


class RepeatConfig(Section):
    """The repeat phase: the best configurations run again to the end, over several seeds.

    Args:
        best: Number of configurations.
        seeds: Number of new seeds per configuration; new, because the value of the search phase
            was selected for being high. None uses the number of seeds of the sweep.
        max_seeds: Race over seeds: ``seeds`` is then the minimum, and a configuration gets further
            seeds, up to this number, only while it can still win. None gives each ``seeds``.
    """

    best: TrialCount = DEFAULT_BEST
    seeds: TrialCount | None = None
    max_seeds: TrialCount | None = None

    @model_validator(mode="after")
    def _race(self) -> RepeatConfig:
        if self.max_seeds is not None and self.best == 1:
            raise ValueError("max_seeds needs configurations that race; set best to at least 2")
        return self


class SweepKeys(Section):
    """The keys of a sweep, each of them valid; `SweepConfig` checks that they go together.

    Args:
        trial: The trial that is varied: a shipped name or the path of a YAML file. None if
            ``parameters`` contains ``trial``, with several of them.
        task: Task of the trials: ``search`` (a black-box search for a trial with a ``strategy``),
            or ``module:Class`` for a custom task.
        epochs: Length of every trial; warm-ups, phases and decisions scale with it. None keeps the
            length of each trial.
        set: Dotted keys to set in every trial.
        set_in: Dotted keys to set in one of the swept trials only, by its name; applied before
            ``epochs`` and ``set``.
        embedded: Further keys to set if the data set is the embedded digits: sizes at which a
            first sweep takes minutes. With other data, the trial's values apply. ``set`` takes
            precedence.
        parameters: Dotted keys to vary, each with its values; and ``trial``, with names or paths.
        invalid: Handling of combinations of listed values that are not a valid trial: ``reject``
            the sweep, or ``redraw`` such a sample and log the reason. ``redraw`` also applies to
            samples in which a swept key has no effect, or whose search cannot be built.
        seeds: Number of seeds per grid point (counted from ``seed``), or a list of seeds.
            Other searchers than grid search each configuration with the first, and repeat the
            best over as many new ones. A configuration that is sampled again runs with the next.
        searcher: ``grid``: every combination; ``random``, ``tpe``, ``gp``, ``cmaes`` or ``nsga2``
            (Optuna): ``trials`` samples; or a sampler as ``module:Class``, or of OptunaHub as
            ``optunahub:PACKAGE:Class``.
        scheduler: ``asha`` stops unpromising trials early; ``none`` runs each to its end.
        tpe: Arguments of the TPE sampler. None: the defaults of the installed Optuna.
        gp: Arguments of the Gaussian process sampler.
        cmaes: Arguments of the CMA-ES sampler.
        nsga2: Arguments of the NSGA-II sampler.
        sampler: Arguments of a sampler that ``searcher`` names by its class.
        trials: Number of configurations that are sampled; None for 20.
        metric: Metric that ranks the sweep: ``valid_accuracy`` of the supernet, any other metric
            that a search reports (``benchmark/cifar10_test`` if a table is configured;
            ``sampled/best_accuracy``), or ``retrain/test_accuracy``; searches are then sampled,
            stopped and selected for retraining by ``valid_accuracy``. If the first search ends
            without the metric, so does the sweep.
        mode: Whether the largest (``max``) or the smallest (``min``) metric is best.
        metrics: Several objectives instead of ``metric`` and ``mode``, which are then those of the
            first; None for one. The Pareto front is best.
        constraints: Bounds of metrics of a search, e.g. ``parameters <= 3.5e6``. A search that
            violates one is never ranked, repeated or retrained.
        baseline: The value of every swept key, for one combination that the report compares all
            others with; None for none.
        repeat: The repeat phase; None repeats the best 3 of a sampled sweep with several seeds.
        retrain: ``each`` (the best genotype of every swept value; in a sampled sweep, of every
            repeated configuration), a number (of the best configurations), ``frontier`` (the
            non-dominated searches), ``model-sizes`` (the best genotype per number of convolutions
            of all searches), 0, or a grid of settings and seeds.
        share: Whether first epochs that trials of a grid, or retraining runs, have in common are
            run once. Results are the same, bit for bit.
        reuse: Whether trials that have finished in another run of the storage, with the same
            versions and device, are used instead of running these trials again. Not under ASHA.
        seed: Determines the first seed, and the samples.
    """

    name: str = "sweep"
    description: str = ""
    trial: str | None = None
    task: str = "search"
    epochs: Epochs | None = None
    set: dict[str, object] = Field(default_factory=dict)
    set_in: dict[str, dict[str, object]] = Field(default_factory=dict)
    embedded: dict[str, object] = Field(default_factory=dict)
    parameters: Annotated[dict[str, Parameter], Field(max_length=_MOST_KEYS)]
    invalid: Literal["reject", "redraw"] = "reject"
    seeds: int | list[int] = 1
    searcher: str = "grid"
    scheduler: Literal["none", "asha"] = "none"
    asha: AshaConfig = AshaConfig()
    tpe: Annotated[TpeConfig | None, Field(validate_default=True)] = TpeConfig()
    gp: GpConfig = GpConfig()
    cmaes: Annotated[CmaEsConfig, Field(validate_default=True)] = CmaEsConfig()
    nsga2: NsgaConfig = NsgaConfig()
    sampler: dict[str, object] = Field(default_factory=dict)
    trials: TrialCount | None = None
    metric: Annotated[str, Field(min_length=1)] = "valid_accuracy"
    mode: Literal["max", "min"] = "max"
    metrics: list[ObjectiveConfig] | None = None
    constraints: list[str] = Field(default_factory=list)
    baseline: dict[str, object] | None = None
    repeat: RepeatConfig | None = None
    retrain: int | Genotypes | RetrainGrid = "each"
    share: bool = True
    reuse: bool = False
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _current_spelling(cls, content: object) -> object:
        """Accept keys and values of trials in the spelling of earlier versions."""
        if not isinstance(content, Mapping):
            return content
        own = dict(content)
        for name in own.keys() & {"set", "embedded", "baseline"}:
            own[name] = _settings(own[name])
        if isinstance(own.get("set_in"), Mapping):
            own["set_in"] = {trial: _settings(keys) for trial, keys in own["set_in"].items()}
        if "parameters" in own:
            own["parameters"] = _parameters(own["parameters"])
        return with_first_objective(own)

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        if value in ("retrain", "analysis"):
            raise ValueError("must find what a retraining run trains: search, or module:Class")
        return check_part("task", value)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        least = 0 if isinstance(value, list) else 1
        whole = all(isinstance(seed, int) and not isinstance(seed, bool) for seed in listed)
        if not listed or not whole or min(listed) < least or max(listed) >= SEEDS:
            raise ValueError("must be a number of seeds, at least 1, or a list of seeds >= 0")
        if len(listed) > MOST_TRIALS or (not isinstance(value, list) and value > MOST_TRIALS):
            raise ValueError(f"must be at most {MOST_TRIALS:,} seeds")
        if len(listed) != len(set(listed)):
            raise ValueError("must not name a seed twice")
        return value

    @field_validator("searcher")
    @classmethod
    def _known_searcher(cls, value: str) -> str:
        return check_searcher(value)

    @field_validator("cmaes")
    @classmethod
    def _cmaes(cls, value: CmaEsConfig, info: ValidationInfo) -> CmaEsConfig:
        return value.for_ranges(len(sampled_ranges(info.data.get("parameters", {}))))

    @field_validator("tpe")
    @classmethod
    def _tpe(cls, value: TpeConfig | None, info: ValidationInfo) -> TpeConfig | None:
        if value is None or value.group is not None:
            return value
        conditional = any(key.when for key in info.data.get("parameters", {}).values())
        return value.model_copy(update={"group": conditional and value.multivariate})

    @field_validator("metrics")
    @classmethod
    def _several(cls, value: list[ObjectiveConfig] | None) -> list[ObjectiveConfig] | None:
        if value is not None and len(value) < 2:
            raise ValueError("must list at least 2 objectives; for one, give metric and mode")
        return value

    @field_validator("constraints")
    @classmethod
    def _constraints(cls, value: list[str]) -> list[str]:
        for text in value:
            parse_constraint(text)
        return value

    @field_validator("retrain", mode="before")
    @classmethod
    def _retrain(cls, value: object) -> object:
        if isinstance(value, Mapping):
            return RetrainGrid.model_validate(value)
        return value if isinstance(value, RetrainGrid) else genotype_count(value)

    def to_dict(self) -> dict[str, object]:
        """Return plain containers with the key names of the YAML file."""
        content = super().to_dict()
        for name in SAMPLERS[1:]:  # of another searcher, unless they are in the file
            if name != self.searcher and name not in self.model_fields_set:
                del content[name]
        if not self.sampler:
            del content["sampler"]
        parameters = {key: value.to_dict() for key, value in self.parameters.items()}
        if self.metrics is not None:
            del content["metric"], content["mode"]  # those of the first objective
        return {**content, "parameters": parameters}


def _settings(settings: Any) -> Any:
    return current_settings(TrialConfig, settings) if _is_named(settings) else settings


def _parameters(parameters: Any) -> Any:
    """Return swept keys, their values and conditions in the current spelling."""
    if not _is_named(parameters):
        return parameters
    return {
        key: _parameter(key, parameter)
        for key, parameter in current_settings(TrialConfig, parameters).items()
    }


def _parameter(key: str, parameter: object) -> object:
    if not isinstance(parameter, Mapping):
        return parameter
    return {
        form: _settings(value) if form == "when" else current_value(TrialConfig, key, value)
        for form, value in parameter.items()
    }


def _is_named(content: object) -> bool:
    """Return whether content is a mapping whose keys are text; other content is not valid."""
    return isinstance(content, Mapping) and all(isinstance(key, str) for key in content)
