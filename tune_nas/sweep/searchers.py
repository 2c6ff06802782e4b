"""The searchers of a sweep by name, and what each of them can sample."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tune_nas.config.section import check_part
from tune_nas.sweep.parameters import Parameter

GRID, RANDOM = "grid", "random"
SAMPLERS = ("tpe", "gp", "cmaes", "nsga2")
"""Optuna's samplers with arguments; each has a section of its name in the sweep."""

HUB = "optunahub"
_OF_HUB = re.compile(rf"{HUB}:(?P<package>\w[\w/-]*)(@(?P<ref>[\w.-]+))?:(?P<name>\w+)")


def hub_parts(searcher: str) -> tuple[str, str, str] | None:
    """Return package, Git reference and class of ``optunahub:PACKAGE[@REF]:Class``, else None."""
    found = _OF_HUB.fullmatch(searcher)
    return None if found is None else (found["package"], found["ref"] or "main", found["name"])


def is_custom(searcher: str) -> bool:
    """Return whether a searcher is a class that the section ``sampler`` configures."""
    return searcher not in (GRID, RANDOM, *SAMPLERS)


def check_searcher(searcher: str) -> str:
    """Return the name of a searcher.

    Raises:
        ValueError: If there is none of this name; names the nearest one.
    """
    if searcher.startswith(f"{HUB}:"):
        if hub_parts(searcher) is None:
            raise ValueError(
                f"must be written {HUB}:PACKAGE:Class or {HUB}:PACKAGE@REF:Class, e.g. "
                f"{HUB}:samplers/auto_sampler:AutoSampler"
            )
        return searcher
    return check_part("searcher", searcher, also=(GRID, RANDOM, *SAMPLERS))


def sampled_ranges(parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the keys that CMA-ES samples: ranges without conditions."""
    return [key for key, own in parameters.items() if own.is_range and not own.when]


def check_priors(searcher: str, parameters: Mapping[str, Parameter], trials: int) -> None:
    """Reject values for the first trials that a searcher would not run.

    Args:
        searcher: Name of the searcher.
        parameters: The swept keys.
        trials: Number of sampled trials.

    Raises:
        ValueError: Names the key, and what to do.
    """
    for key, parameter in parameters.items():
        if parameter.prior and searcher == GRID:
            raise ValueError(
                f"{key} has a prior, which searcher 'grid' does not read; take searcher 'random' "
                "or 'tpe', or omit prior"
            )
        if len(parameter.prior) > trials:
            raise ValueError(
                f"{key} has {len(parameter.prior)} priors, one for each trial, but trials is "
                f"{trials}; give at most {trials}"
            )


def check_keys(
    searcher: str, parameters: Mapping[str, Parameter], arguments: Mapping[str, object]
) -> None:
    """Reject keys that a searcher cannot sample, and arguments that it would not get.

    Args:
        searcher: Name of the searcher.
        parameters: The swept keys.
        arguments: The section ``sampler``.

    Raises:
        ValueError: Names the searcher, and what to take instead.
    """
    if arguments and not is_custom(searcher):
        place = f"those of {searcher} are under '{searcher}'" if searcher in SAMPLERS else "omit it"
        raise ValueError(
            f"sampler has arguments of a module:Class, but searcher is '{searcher}'; {place}"
        )
    if "seed" in arguments:
        raise ValueError("sampler.seed is given, but follows from the sweep's seed; omit it")
    if searcher != "cmaes":
        return
    for key, parameter in parameters.items():
        if parameter.is_range and parameter.when:
            raise ValueError(
                f"{key} is a range with a condition, which searcher 'cmaes' cannot sample; take "
                "searcher 'tpe'"
            )
    if len(sampled_ranges(parameters)) < 2:  # Optuna would sample every key at random
        raise ValueError(
            "searcher 'cmaes' needs at least 2 ranges (uniform, loguniform, int) without "
            f"conditions, but parameters has {len(sampled_ranges(parameters))}; take searcher "
            "'tpe' or 'gp'"
        )
