"""Optuna's samplers, configured to sample the same configurations on any Optuna version."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.optuna_objectives import constraint_arguments
from tune_nas.sweep.searchers import HUB, RANDOM, hub_parts, is_custom
from tune_nas.user_code import load_class, said

_FIRST_WITH_BANDWIDTH_PER_KEY = 5
_STATELESS = (RANDOM, "gp")


def make_sampler(
    sweep: SweepConfig, number: int, searcher: str | None = None
) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial; its random seed depends on nothing else.

    Args:
        sweep: The sweep; its searcher with the arguments, and its ``seed``.
        number: Number of the trial, from 0.
        searcher: ``random``; None for the searcher of the sweep.

    Raises:
        ConfigError: If the searcher needs a package that is not installed, or its class cannot be
            imported or created.
    """
    # No trial of another sweep seed shares this seed: numbers stay below 100,000.
    seed = (sweep.seed * 100_003 + number) % 2**32
    name = searcher or sweep.searcher
    with warnings.catch_warnings():
        # Optuna 4.9 calls arguments experimental that are the defaults of 5.0.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if is_custom(name):
            return _custom(name, sweep.sampler, seed)
        return _MAKERS[name](sweep, seed)


def keeps_state(sweep: SweepConfig) -> bool:
    """Return whether a sampler of the sweep leaves something in the study that decides samples.

    CMA-ES and NSGA-II do, and any other class may. A multivariate TPE does if keys are conditional:
    for running trials, it counts keys that it has sampled but that their conditions leave out.
    """
    if sweep.searcher in _STATELESS:
        return False
    return sweep.searcher != "tpe" or any(own.when for own in sweep.parameters.values())


def _tpe(sweep: SweepConfig, seed: int) -> optuna.samplers.BaseSampler:
    if sweep.tpe is None:
        return optuna.samplers.TPESampler(seed=seed, **constraint_arguments(sweep))
    sampler = optuna.samplers.TPESampler(
        seed=seed, **sweep.tpe.to_dict(), **constraint_arguments(sweep)
    )
    if int(optuna.__version__.split(".")[0]) < _FIRST_WITH_BANDWIDTH_PER_KEY:
        _set_bandwidth_per_key(sampler)
    return sampler


def _cmaes(sweep: SweepConfig, seed: int) -> optuna.samplers.BaseSampler:
    if importlib.util.find_spec("cmaes") is None:
        raise ConfigError(
            "searcher is 'cmaes', but its package is not installed; run pip install "
            "'tune-nas[cmaes]', or take searcher 'tpe'"
        )
    return optuna.samplers.CmaEsSampler(
        seed=seed, warn_independent_sampling=False, **sweep.cmaes.to_dict()
    )


_MAKERS: Mapping[str, Callable[[SweepConfig, int], optuna.samplers.BaseSampler]] = {
    RANDOM: lambda sweep, seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": _tpe,
    "gp": lambda sweep, seed: optuna.samplers.GPSampler(
        seed=seed,
        warn_independent_sampling=False,
        **sweep.gp.to_dict(),
        **constraint_arguments(sweep),
    ),
    "cmaes": _cmaes,
    "nsga2": lambda sweep, seed: optuna.samplers.NSGAIISampler(
        seed=seed, **sweep.nsga2.to_dict(), **constraint_arguments(sweep)
    ),
}


def _set_bandwidth_per_key(sampler: optuna.samplers.TPESampler) -> None:
    """Give the kernels of a multivariate TPE the same bandwidths as in Optuna 5.

    Optuna 5 derives a kernel's bandwidth from its neighbors, whether or not keys are sampled
    jointly. Optuna 4 does so only if each key is sampled separately, and otherwise uses one
    bandwidth for all kernels; no argument changes that.
    """
    parameters = sampler._parzen_estimator_parameters
    sampler._parzen_estimator_parameters = parameters._replace(multivariate=False)


def _custom(
    searcher: str, arguments: Mapping[str, object], seed: int
) -> optuna.samplers.BaseSampler:
    """Return a sampler of a class that the user names.

    Raises:
        ConfigError: If it cannot be imported or created.
    """
    is_text = f"searcher is '{searcher}'"
    parts = hub_parts(searcher)
    kind = _class(searcher) if parts is None else _of_hub(searcher, *parts)
    taken = inspect.signature(kind).parameters.values()
    if not any(each.name == "seed" or each.kind is each.VAR_KEYWORD for each in taken):
        raise ConfigError(f"{is_text}, but must take the argument seed, which decides its samples")
    try:
        return kind(seed=seed, **arguments)
    except Exception as error:
        raise ConfigError(f"{is_text}, but creating it fails: {said(error)}") from error


def _class(searcher: str) -> type[Any]:
    described = "optuna.samplers.BaseSampler"
    return load_class("searcher", searcher, optuna.samplers.BaseSampler, described)


def _of_hub(searcher: str, package: str, ref: str, name: str) -> type[Any]:
    is_text = f"searcher is '{searcher}'"
    if importlib.util.find_spec(HUB) is None:
        raise ConfigError(f"{is_text}, but OptunaHub is not installed; run pip install {HUB}")
    try:
        module = importlib.import_module(HUB).load_module(package, ref=ref)
    except Exception as error:  # no network, no such package, an error in its code
        raise ConfigError(f"{is_text}, but loading it fails: {said(error)}") from error
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, optuna.samplers.BaseSampler)):
        raise ConfigError(f"{is_text}, but package '{package}' has no sampler of this name")
    return kind
