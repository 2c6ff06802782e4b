"""The grid of a sweep's retraining runs: genotypes, settings and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field, field_validator

from tune_nas.config import Section
from tune_nas.sweep.parameters import MOST_TRIALS
from tune_nas.text import brief, plain_text

_MOST_SETTINGS = 100
_LONGEST_NAME = 60  # characters; the name is in every row of a table

Genotypes: TypeAlias = Literal["each", "frontier", "model-sizes"]
"""Choices of genotypes to retrain whose number follows from the searches."""
FRONTIER, MODEL_SIZES = "frontier", "model-sizes"


@dataclass(frozen=True)
class RetrainSetting:
    """A way in which genotypes are trained from scratch.

    Args:
        name: Its name in tables and in MLflow.
        keys: Keys of the section ``retrain`` with their values. With ``recipe``, all others get
            the values of the recipe; without, those of the trial.
    """

    name: str
    keys: Mapping[str, object]


class RetrainGrid(Section):
    """Retraining runs of some genotypes under every setting, over several seeds.

    Args:
        genotypes: ``each`` (the best genotype of every swept value; in a sampled sweep, of every
            repeated configuration), a number (of the best configurations), ``frontier``,
            ``model-sizes``, or 0.
        recipes: The settings: names of recipes, or mappings of keys of the section ``retrain``, to
            which a ``name`` can be given. Empty for the trial's own section alone.
        seeds: Number of seeds per genotype and setting, counted from the first seed of the sweep;
            None for one run with the seed of the genotype's search.
    """

    genotypes: int | Genotypes = "each"
    recipes: Annotated[list[str | dict[str, object]], Field(max_length=_MOST_SETTINGS)] = Field(
        default_factory=list
    )
    seeds: Annotated[int | None, Field(ge=1, le=MOST_TRIALS)] = None

    @field_validator("genotypes", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        return genotype_count(value)

    @field_validator("recipes", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if not (isinstance(value, list) and all(_is_entry(entry) for entry in value)):
            raise ValueError("must be a list of recipes and of mappings of keys, e.g. epochs: 50")
        return value

    @field_validator("recipes")
    @classmethod
    def _named_once(cls, value: list[str | dict[str, object]]) -> list[str | dict[str, object]]:
        known: set[str] = set()
        for entry in value:
            name = _setting(entry).name
            if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
                raise ValueError(
                    f"retrain.recipes has a setting named '{_escaped(name)}', but a name must "
                    f"have 1 to {_LONGEST_NAME} printable characters; give it one, e.g. name: short"
                )
            if name in known:
                raise ValueError(
                    f"retrain.recipes has '{name}' twice; give it once, or give one another name"
                )
            known.add(name)
        return value

    @property
    def settings(self) -> list[RetrainSetting]:
        """The settings in order; empty if the trial's own section is the only one."""
        return [_setting(entry) for entry in self.recipes]

    @property
    def runs_per_genotype(self) -> int:
        """Number of retraining runs of a genotype."""
        return (len(self.recipes) or 1) * (self.seeds or 1)

    def seeds_from(self, first: int) -> list[int]:
        """Return the seeds, counted from the first; empty for that of each genotype's search."""
        return [first + offset for offset in range(self.seeds or 0)]

    def check_count(self, genotypes: int) -> None:
        """Reject more retraining runs than a sweep must have.

        Raises:
            ValueError: If this number of genotypes gives more.
        """
        count = genotypes * self.runs_per_genotype
        if count > MOST_TRIALS:
            raise ValueError(
                f"retrain takes {count:,} trials, genotypes times recipes times seeds, but must "
                f"take at most {MOST_TRIALS:,}"
            )


def genotype_count(value: object) -> object:
    """Return a choice of genotypes or a number of them; a number may be given as text.

    Raises:
        ValueError: If the value is neither.
    """
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, int) and value > MOST_TRIALS:
        raise ValueError(f"must be at most {MOST_TRIALS:,}")
    if value not in get_args(Genotypes) and not (type(value) is int and value >= 0):
        raise ValueError(
            "must be 'each', 'frontier', 'model-sizes', a number of configurations, or 0 for none"
        )
    return value


def _escaped(name: str) -> str:
    return brief(name if name.isprintable() else repr(name)[1:-1], _LONGEST_NAME)


def _is_entry(entry: object) -> bool:
    if isinstance(entry, Mapping):
        return all(isinstance(key, str) for key in entry)
    return isinstance(entry, str)


def _setting(entry: str | Mapping[str, object]) -> RetrainSetting:
    if isinstance(entry, str):
        return RetrainSetting(entry, {"recipe": entry})
    keys = {key: value for key, value in entry.items() if key != "name"}
    if "name" in entry:
        return RetrainSetting(str(entry["name"]), keys)
    others = {key: value for key, value in keys.items() if key != "recipe"}
    parts = [plain_text(keys["recipe"])] if "recipe" in keys else []
    parts += [f"{key}={plain_text(value)}" for key, value in others.items()]
    return RetrainSetting(" ".join(parts), keys)
