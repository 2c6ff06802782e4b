"""Settings of a trial in which options of shipped parts are the keys that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from pydantic import BaseModel

from tune_nas import manifest
from tune_nas.config.options.option_keys import (
    key_of_option,
    possible_keys,
    split_option,
    with_rules_as_keys,
)
from tune_nas.config.options.option_models import NAMED_PARTS, RULES, NamedParts
from tune_nas.config.part_section import PartSection
from tune_nas.config.section import Content, inner_section
from tune_nas.config.trial import TrialConfig
from tune_nas.text import shown

_RULES = f"{RULES.section}.{RULES.named_by}"


def without_options(content: Content) -> dict[str, object]:
    """Return the content of a trial file with the options of shipped parts as keys.

    Raises:
        ValueError: If a part has no such option, or a key and an option give different values.
    """
    flat = dict(content)
    for section in NAMED_PARTS:
        flat = _changed(flat, section.split("."), _model(section).with_options_as_keys)
    return _changed(flat, [RULES.section], with_rules_as_keys)


def names_options(key: str) -> bool:
    """Return whether a dotted key sets options of a part, perhaps by a list of rules."""
    return key == _RULES or split_option(key) is not None


def flat_settings(options: Content, content: Content, others: Content) -> dict[str, object]:
    """Return settings in which options of shipped parts are keys of the trial.

    ``relaxation.options.NAME`` stands for the key that holds the option. A whole mapping,
    ``relaxation.options``, sets each option in it.

    Args:
        options: Dotted keys with their values, each one that `names_options`.
        content: The trial in which they are set, with all other settings.
        others: The other settings.

    Raises:
        ValueError: If a part has no such option, or a key is given twice, with different values.
    """
    given = {key: (key, value) for key, value in others.items()}
    flat: dict[str, object] = {}
    for setting, value in options.items():
        for key, entry in _flat_setting(setting, value, content):
            for other, (spelled, held) in given.items():
                if overlaps(key, other) and (key != other or held != entry):
                    raise ValueError(
                        f"{setting} is {shown(value)}, but {spelled}, the same key, is "
                        f"{shown(held)}; give one of them"
                    )
            given[key] = (setting, entry)
            flat[key] = entry
    return flat


def check_spelled_once(keys: Iterable[str]) -> None:
    """Reject keys of a sweep that name an option in both spellings.

    Raises:
        ValueError: If there is one; names both.
    """
    keys = list(keys)
    for key in keys:
        for flat in possible_keys(key):
            other = next((each for each in keys if overlaps(flat, each)), None)
            if other is not None:
                raise ValueError(f"{key} and {other} are the same key; give one of them")


def overlaps(key: str, other: str) -> bool:
    """Return whether a key is another one or a part of it, or the other a part of the key.

    The sections that name parts are not counted as a spelling of their keys.
    """
    if other in NAMED_PARTS or other in (RULES.section, "optimizer"):
        return False
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _flat_setting(key: str, value: object, content: Content) -> Iterator[tuple[str, object]]:
    if key == _RULES:
        yield from _flat_rules(value)
        return
    split = split_option(key)
    assert split is not None
    parts, option = split
    name = _name_of_part(parts, content)
    if not manifest.is_shipped(parts.kind, name) and name != "none":
        yield key, value
    elif option:
        yield f"{parts.section}.{key_of_option(parts, name, option)}", value
    elif not isinstance(value, Mapping):
        raise ValueError(f"{key} is {shown(value)}, but must be a mapping of options")
    else:
        for each, entry in value.items():
            yield f"{parts.section}.{key_of_option(parts, name, str(each))}", entry


def _flat_rules(rules: object) -> Iterator[tuple[str, object]]:
    flat = with_rules_as_keys({RULES.named_by: rules})
    for key, value in flat.items():
        yield f"{RULES.section}.{key}", value


def _name_of_part(parts: NamedParts, content: Content) -> str:
    held: object = content
    for key in parts.section.split("."):
        held = held.get(key) if isinstance(held, Mapping) else None
    if isinstance(held, str):  # the short form, `data: digits`
        held = {parts.named_by: held}
    return _model(parts.section).name_of_part(held if isinstance(held, Mapping) else {})


def _model(section: str) -> type[PartSection]:
    """Return the model of a section that names a part."""
    model: type[BaseModel] | None = TrialConfig
    for key in section.split("."):
        assert model is not None
        model = inner_section(model.model_fields[key].annotation)
    assert model is not None and issubclass(model, PartSection)
    return model


def _changed(
    content: Content, path: list[str], change: Callable[[Content], dict[str, object]]
) -> dict[str, object]:
    """Return content with a section changed, if it is there."""
    head, *rest = path
    inner = content.get(head)
    if not isinstance(inner, Mapping):
        return dict(content)
    changed = partial(_changed, path=rest, change=change) if rest else change
    return {**content, head: changed(inner)}
