"""The space of a genotype, and the genotype in its notation."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from tune_nas.cli.genotype_reference import GenotypeReference
from tune_nas.cli.genotype_runs import trial_of
from tune_nas.errors import ConfigError, GenotypeError
from tune_nas.paths import is_file
from tune_nas.shipped import shipped_names
from tune_nas.spaces import Genotype, Space, load_space


def space_of(
    found: GenotypeReference, space: str | None, storage: str, mlflow: str | None
) -> Space:
    """Return the space of a genotype: the given one, that of its run, or the shipped one.

    Raises:
        ConfigError: If its space is not shipped, and no file of the space is given.
    """
    if space is not None:
        return load_space(space)
    name = found.genotype.space
    if name not in shipped_names("space"):
        trial = trial_of(found, storage, mlflow)
        name = name if trial is None else trial.space.name
        check_space_is_known(name)
    return load_space(name)


def check_space_is_known(name: str) -> None:
    """Raise a ConfigError that names ``--space`` if a space is neither shipped nor a file."""
    if name not in shipped_names("space") and not is_file(name):
        raise ConfigError(
            f"the genotype is of space '{name}', which is not a shipped one; "
            "name the file that describes it: --space FILE"
        )


def fit_to_space(found: GenotypeReference, space: Space) -> Genotype:
    """Return the genotype in the notation of a space.

    If the space keeps every edge, a missing edge becomes ``none``; if the genotype's text does not
    name its space, the genotype is of this one.

    Raises:
        GenotypeError: If the space does not contain it; names those that do if it was assumed.
    """
    genotype = found.genotype.completed(space)
    if found.assumed:
        genotype = replace(genotype, space=space.name)
    try:
        genotype.check(space)
    except GenotypeError as error:
        if not found.assumed or found.genotype.space != space.name:
            raise
        others = _spaces_that_hold(found)
        hint = " or ".join(f"--space {name}" for name in others[:3]) or "--space FILE"
        raise GenotypeError(
            f"{error}; its text names no space, so '{space.name}' is assumed; give {hint}"
        ) from error
    return genotype


def _spaces_that_hold(found: GenotypeReference) -> list[str]:
    names = []
    for name in shipped_names("space"):
        with suppress(GenotypeError):
            space = load_space(name)
            found.genotype.completed(space).check(space)
            names.append(name)
    return names
