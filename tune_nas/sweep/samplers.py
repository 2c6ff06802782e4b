"""Optuna's samplers, configured to sample the same configurations on any Optuna version."""

from __future__ import annotations

import warnings

import optuna

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.keys import TpeConfig
from tune_nas.sweep.optuna_objectives import constraint_arguments

_FIRST_WITH_BANDWIDTH_PER_KEY = 5


def make_sampler(
    sweep: SweepConfig, number: int, searcher: str | None = None
) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial; its random seed depends on nothing else.

    Args:
        sweep: The sweep; only ``searcher``, ``tpe`` and ``seed`` are used.
        number: Number of the trial, from 0.
        searcher: ``random`` or ``tpe``; None for that of the sweep.
    """
    # No trial of another sweep seed shares this seed: numbers stay below 100,000.
    seed = (sweep.seed * 100_003 + number) % 2**32
    if (searcher or sweep.searcher) == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if sweep.tpe is None:
        return optuna.samplers.TPESampler(seed=seed, **constraint_arguments(sweep))
    return _tpe(sweep, sweep.tpe, seed)


def keeps_state(sweep: SweepConfig) -> bool:
    """Return whether a sampler of the sweep leaves something in the study that decides samples.

    A multivariate TPE does, if keys are conditional: for running trials, it counts keys that it
    has sampled but that their conditions leave out.
    """
    if sweep.searcher == "random":
        return False
    return any(parameter.when for parameter in sweep.parameters.values())


def _tpe(sweep: SweepConfig, arguments: TpeConfig, seed: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():
        # Optuna 4.9 calls arguments experimental that are the defaults of 5.0.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, **arguments.to_dict(), **constraint_arguments(sweep)
        )
    if int(optuna.__version__.split(".")[0]) < _FIRST_WITH_BANDWIDTH_PER_KEY:
        _set_bandwidth_per_key(sampler)
    return sampler


def _set_bandwidth_per_key(sampler: optuna.samplers.TPESampler) -> None:
    """Give the kernels of a multivariate TPE the same bandwidths as in Optuna 5.

    Optuna 5 derives a kernel's bandwidth from its neighbors, whether or not keys are sampled
    jointly. Optuna 4 does so only if each key is sampled separately, and otherwise uses one
    bandwidth for all kernels; no argument changes that.
    """
    parameters = sampler._parzen_estimator_parameters
    sampler._parzen_estimator_parameters = parameters._replace(multivariate=False)
