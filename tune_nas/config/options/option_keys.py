"""Options of a shipped part, ``options: {…}``, as another spelling of the keys of its section."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pydantic import BaseModel

from tune_nas import manifest
from tune_nas.config.options.option_models import NAMED_PARTS, RULES, NamedParts, PartOptions
from tune_nas.config.section import inner_section
from tune_nas.text import brief, shown

_OPTIONS = "options"


def split_option(key: str) -> tuple[NamedParts, str] | None:
    """Split ``relaxation.options.temperature.end`` into its parts and ``temperature.end``.

    The option is empty for the key ``relaxation.options`` itself. None for other keys.
    """
    if f".{_OPTIONS}" not in key:  # most keys: a sweep looks up every key of every trial
        return None
    for parts in NAMED_PARTS.values():
        prefix = f"{parts.section}.{_OPTIONS}"
        if key == prefix:
            return parts, ""
        if key.startswith(f"{prefix}."):
            return parts, key.removeprefix(f"{prefix}.")
    return None


def key_of_option(parts: NamedParts, name: str, option: str, where: str = "") -> str:
    """Return the key of the section that holds an option of a shipped part.

    Args:
        parts: The parts that the section can name.
        name: The part; a value that names no part has no options.
        option: The option, e.g. ``temperature`` or ``temperature.end``.
        where: The key of the options, for the message; ``SECTION.options`` by default.

    Raises:
        ValueError: If the part has no such option; names the nearest one, or all that it has.
    """
    key = _key_in_section(parts.options.get(name), option)
    if key is None:
        raise ValueError(_refusal(parts, name, option, where or f"{parts.section}.{_OPTIONS}"))
    return key


def key_in_trial(key: str, content: Mapping[str, object]) -> str:
    """Return the key that an option of a trial's part stands for; another key is unchanged.

    Args:
        key: A dotted key of the trial.
        content: The trial as plain containers, `TrialConfig.to_dict`.
    """
    split = split_option(key)
    if split is None or not split[1]:
        return key
    parts, option = split
    held = _key_in_section(parts.options.get(_part_of_trial(parts, content)), option)
    return key if held is None else f"{parts.section}.{held}"


def keys_of_all_options(key: str, content: Mapping[str, object]) -> list[str]:
    """Return the keys that hold the options of a trial's part, for the key ``SECTION.options``.

    Empty for another key, and for a part that is not shipped or has no options.

    Args:
        key: A dotted key of the trial.
        content: The trial as plain containers, `TrialConfig.to_dict`.
    """
    split = split_option(key)
    if split is None or split[1]:
        return []
    parts, name = split[0], _part_of_trial(split[0], content)
    own = parts.options.get(name)
    options = own.model.model_fields if own is not None else ()
    return [f"{parts.section}.{key_of_option(parts, name, option)}" for option in options]


def _key_in_section(own: PartOptions | None, option: str) -> str | None:
    """Return the key of a section that holds an option; None if the part does not have it."""
    if own is None or option.partition(".")[0] not in own.model.model_fields:
        return None
    return f"{own.within}.{option}" if own.within else option


def _part_of_trial(parts: NamedParts, content: Mapping[str, object]) -> str:
    section: object = content
    for name in parts.section.split("."):
        section = section[name] if isinstance(section, Mapping) else None
    return str(section[parts.named_by]) if isinstance(section, Mapping) else ""


def possible_keys(key: str) -> set[str]:
    """Return the keys that an option may stand for, depending on the part that a trial names."""
    split = split_option(key)
    if split is None or not split[1]:
        return set()
    parts, option = split
    held = {_key_in_section(own, option) for own in parts.options.values()}
    return {f"{parts.section}.{key}" for key in held if key is not None}


def with_options_as_keys(
    parts: NamedParts, name: str, content: Mapping[str, object]
) -> dict[str, object]:
    """Return the content of a section with the options of a shipped part as keys.

    Options of a custom part are unchanged.

    Args:
        parts: The parts that the section can name.
        name: The part that it names.
        content: Its content, not yet validated.

    Raises:
        ValueError: If the part has no such option, or a key and an option give different values.
    """
    own = dict(content)
    if _OPTIONS not in own:
        return own
    is_shipped = manifest.is_shipped(parts.kind, name)
    if not is_shipped and (manifest.is_known(parts.kind, name) or manifest.is_reference(name)):
        return own
    options = own.pop(_OPTIONS)
    if not is_shipped and name != "none":
        return own  # rejected by its name
    key = f"{parts.section}.{_OPTIONS}"
    return _with_options(parts, name, options, own, key)


def with_rules_as_keys(content: Mapping[str, object]) -> dict[str, object]:
    """Return the content of ``schedule`` with the options of shipped rules as its keys.

    An entry ``{kind: greedy, options: {…}}`` of ``rules`` stands for ``greedy: {…}``; custom rules
    are unchanged.

    Raises:
        ValueError: If an entry is not of that form, the rule has no such option, or a key and an
            option give different values.
    """
    own = dict(content)
    rules = own.get(RULES.named_by)
    if not isinstance(rules, list) or not any(isinstance(rule, Mapping) for rule in rules):
        return own
    own[RULES.named_by] = [rule for rule in rules if not isinstance(rule, Mapping)]
    for index, rule in enumerate(rules):
        if isinstance(rule, Mapping):
            own = _with_rule(rule, own, f"{RULES.section}.{RULES.named_by}.{index}")
    return own


def _with_rule(
    rule: Mapping[str, object], content: dict[str, object], key: str
) -> dict[str, object]:
    name = rule.get("kind")
    if not isinstance(name, str) or rule.keys() - {"kind", _OPTIONS}:
        raise ValueError(f"{key} is {shown(rule)}, but must be kind: NAME, options: {{…}}")
    name = manifest.short_name(RULES.kind, name)
    if not manifest.is_shipped(RULES.kind, name):
        raise ValueError(
            f"{key} is a mapping with kind '{brief(name)}', but only shipped rules "
            f"({', '.join(RULES.options)}) have options; name a custom rule as module:Class"
        )
    within = RULES.options[name].within
    if within and content.get(within) is None:
        content = {**content, within: {}}
    return _with_options(RULES, name, rule.get(_OPTIONS, {}), content, f"{key}.{_OPTIONS}")


def _with_options(
    parts: NamedParts, name: str, options: object, content: dict[str, object], key: str
) -> dict[str, object]:
    if not isinstance(options, Mapping):
        raise ValueError(f"{key} is {shown(options)}, but must be a mapping of options")
    for option, value in options.items():
        path = key_of_option(parts, name, str(option), key)
        model = parts.options[name].model
        content = _merged(
            content,
            path.split("."),
            value,
            model=inner_section(model.model_fields[str(option)].annotation),
            words=(f"{key}.{option}", f"{parts.section}.{path}"),
        )
    return content


def _merged(
    content: Mapping[str, object],
    path: list[str],
    value: object,
    *,
    model: type[BaseModel] | None,
    words: tuple[str, str],
) -> dict[str, object]:
    """Return content with a value at a path; the values of a section are merged with those there.

    Args:
        content: The content of a section.
        path: The keys to the value.
        value: The value.
        model: The model of the value, if it is a section.
        words: The option and the key, for the message.

    Raises:
        ValueError: If there is another value.
    """
    head, *rest = path
    if head not in content and not rest:
        return {**content, head: value}
    held = content.get(head)
    if isinstance(held, BaseModel):
        held = held.model_dump(by_alias=True)
    if rest:
        inner = held if isinstance(held, Mapping) else {}
        return {**content, head: _merged(inner, rest, value, model=model, words=words)}
    if model is not None and isinstance(held, Mapping) and isinstance(value, Mapping):
        own: dict[str, object] = dict(held)
        for key, entry in value.items():
            inner_words = (f"{words[0]}.{key}", f"{words[1]}.{key}")
            own = _merged(own, [str(key)], entry, model=None, words=inner_words)
        return {**content, head: own}
    if _as_list(held) != _as_list(value):
        raise ValueError(
            f"{words[0]} is {shown(value)}, but {words[1]}, the same key, is {shown(held)}; "
            "give one of them"
        )
    return dict(content)


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _refusal(parts: NamedParts, name: str, option: str, where: str) -> str:
    """Return the message that a part has no such option."""
    own = list(parts.options[name].model.model_fields) if name in parts.options else []
    head = option.partition(".")[0]
    text = f"{where}.{brief(option)} is not an option of '{brief(name)}'"
    others = [
        f"'{other}'" for other, each in parts.options.items() if head in each.model.model_fields
    ]
    if others:
        text += f", but of {', '.join(others)}"
    near = difflib.get_close_matches(head, own, n=1)
    if near:
        return f"{text}; did you mean '{where}.{near[0]}'?"
    return f"{text}; '{brief(name)}' has {', '.join(own) or 'no options'}"
