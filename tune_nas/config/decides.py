"""Marks on the keys of a trial that say what they decide, and the keys that have a mark."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Flag, auto
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tune_nas.config.section import inner_section

if TYPE_CHECKING:
    from tune_nas.config.trial import TrialConfig


class Decides(Flag):
    """What a key decides: ``name: Annotated[str, Decides.SEARCH | Decides.RETRAIN]``.

    A mark on a section holds for all its keys but those that have one themselves.

    Attributes:
        SEARCH: The result of a search; its checkpoints can only be resumed with the same value.
        RETRAIN: The result of a retraining run, likewise.
        LENGTH: The number of epochs of a search.
        SEARCH_STARTS: Whether a search can be built: a sweep checks one search for each value.
        RETRAIN_STARTS: Whether a retraining run can be built, likewise.
    """

    NOTHING = 0
    SEARCH = auto()
    RETRAIN = auto()
    LENGTH = auto()
    SEARCH_STARTS = auto()
    RETRAIN_STARTS = auto()


def keys_that_decide(mark: Decides) -> tuple[str, ...]:
    """Return the dotted keys of a trial that have a mark."""
    from tune_nas.config.trial import TrialConfig

    return tuple(key for key, own in _marks(TrialConfig, "", Decides.NOTHING) if mark in own)


def decided_by(trial: TrialConfig, mark: Decides) -> dict[str, Any]:
    """Return the values of the keys of a trial that have a mark, by dotted key."""
    from tune_nas.config.conditions import value_of

    content = trial.to_dict()
    return {key: value_of(content, key) for key in keys_that_decide(mark)}


def _marks(
    model: type[BaseModel], prefix: str, inherited: Decides
) -> Iterator[tuple[str, Decides]]:
    for name, field in model.model_fields.items():
        own = next((each for each in field.metadata if isinstance(each, Decides)), inherited)
        key = prefix + (field.alias or name)
        section = inner_section(field.annotation)
        if section is None:
            yield key, own
        else:
            yield from _marks(section, f"{key}.", own)
