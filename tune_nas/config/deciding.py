"""The keys of a trial that have a mark, and their values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from tune_nas.config.conditions import value_of
from tune_nas.config.decides import Decides
from tune_nas.config.options.option_keys import split_option
from tune_nas.config.section import inner_section
from tune_nas.config.trial import TrialConfig


@cache
def keys_that_decide(mark: Decides) -> tuple[str, ...]:
    """Return the dotted keys of a trial that have a mark, or one of several."""
    return tuple(key for key, own in _marks(TrialConfig, "", Decides.NOTHING) if mark & own)


def decides(key: str, mark: Decides) -> bool:
    """Return whether a dotted key, or an option of the part that a section names, has a mark."""
    split = split_option(key)
    if split is not None:
        parts, _ = split
        key = f"{parts.section}.{parts.named_by}"
    return key in keys_that_decide(mark)


def decided_by(trial: TrialConfig, mark: Decides) -> dict[str, object]:
    """Return the values of the keys of a trial that have a mark, or one of several, by key."""
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
