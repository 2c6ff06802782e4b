"""Finding and reading YAML files: built-in by name, custom by path; overrides; one-line errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tune_nas.config import TrialConfig, dotted_keys, earlier_rules, scaled
from tune_nas.config.effects import no_effect, set_keys, set_value
from tune_nas.config.flat_settings import flat_settings, names_options, without_options
from tune_nas.config.options.option_keys import split_option
from tune_nas.config.section import current_key, current_settings
from tune_nas.config.short_forms import long_form
from tune_nas.errors import CheckpointError, ConfigError
from tune_nas.manifest import is_reference
from tune_nas.shipped import check_kind, find, nearest
from tune_nas.text import brief, shown
from tune_nas.user_code import declared_reads, module_file
from tune_nas.yaml_text import MOST_CHARACTERS, parse_yaml

Model = TypeVar("Model", bound=BaseModel)

_MOST_COMPLAINTS = 10  # per line

# pydantic's wording -> ours, which continues "… is -1, but"
_RULES = (
    (r", unable to .*", ""),
    (r"^Input should be greater than or equal to ", "must be >= "),
    (r"^Input should be less than or equal to ", "must be <= "),
    (r"^Input should be greater than ", "must be > "),
    (r"^Input should be less than ", "must be < "),
    (r"^Input should be a valid dictionary.*", "must be a mapping of keys"),
    (r"^Input should be a valid (array|list|tuple)", "must be a list"),
    (r"^Input should be a valid integer", "must be an integer"),
    (r"^Input should be a valid ", "must be a "),
    (r"^(Input|Tuple|List|Dictionary) should ", "must "),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        ConfigError: If it cannot be read, is not YAML or contains no mapping.
    """
    try:
        if (size := path.stat().st_size) > 4 * MOST_CHARACTERS:  # a character has 4 bytes at most
            raise ConfigError(f"{path}: has {size:,} bytes, too many for a file of settings")
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML{_place(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold a mapping of keys, not {type(content).__name__}")
    return content


def validate(model: type[Model], content: Mapping[str, object], where: str) -> Model:
    """Build a model; report all its errors in one line that starts with ``where``.

    Raises:
        ConfigError: If a key is unknown (names the nearest valid one) or a value is invalid.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors()
        lines = [_complaint(model, problem) for problem in problems[:_MOST_COMPLAINTS]]
        if len(problems) > _MOST_COMPLAINTS:
            lines.append(f"and {len(problems) - _MOST_COMPLAINTS} more")
        raise ConfigError(f"{where}: {'; '.join(lines)}") from error


def load_trial(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    epochs: int | None = None,
) -> TrialConfig:
    """Read a trial by name or path, change its length and set dotted keys in it.

    Args:
        name: A built-in trial or the path of a YAML file.
        overrides: Dotted keys with their values, e.g. ``{"update.lambda": 0.3}``.
        epochs: Number of epochs; warm-ups, phases and decisions scale with it. None for its own.

    Raises:
        ConfigError: If the file, a key or a value is invalid, or an override has no effect.
    """
    path = find("trial", name)
    own = read_yaml(path)
    check_kind(own, "trial", name)
    content = _with_module_dir({"name": path.stem, **own}, path.parent)
    trial = validate(TrialConfig, content, str(name))
    length = {} if epochs is None else scaled(trial.to_dict(), epochs)
    where = f"trial '{name}'"
    return with_settings(
        lambda settings: with_overrides(content, {**length, **settings}, where),
        overrides or {},
        where,
    )


def with_settings(
    make: Callable[[Mapping[str, object]], TrialConfig], settings: Mapping[str, object], where: str
) -> TrialConfig:
    """Return a trial with the given keys set; reject those without effect.

    A key without effect is accepted if the trial is invalid without it, e.g.
    ``selection.options={}`` with a selection that takes no options.

    Args:
        make: Creates the trial from settings.
        settings: Dotted keys with their values.
        where: Starts the message.

    Raises:
        ConfigError: If a key is unknown, a value is invalid, or a key has no effect.
    """
    settings = _current(settings)
    trial = make(settings)
    for key, setting in set_keys(settings):
        reason = no_effect(trial, key, declared_reads)
        if reason is None:
            continue
        try:
            make({other: value for other, value in settings.items() if other != setting})
        except ConfigError:
            continue
        raise ConfigError(f"{where}: {key} is {shown(set_value(trial, key))}, but {reason}")
    return trial


def stored_trial(content: Mapping[str, object], where: str) -> TrialConfig:
    """Build a trial that was stored in full, by this version or an earlier one.

    Keys that did not exist yet get their defaults, or the value that keeps the trial's behavior
    (see `tune_nas.config.earlier`).

    Raises:
        ConfigError: If a key is unknown to this version or a value is invalid.
    """
    filled = dict(content)
    for key, value in earlier_rules(content).items():
        filled = _set(filled, key.split("."), value)
    return validate(TrialConfig, filled, where)


def trial_of_checkpoint(content: Mapping[str, object]) -> TrialConfig:
    """Build the trial that a checkpoint holds: see `stored_trial`.

    Raises:
        CheckpointError: If this version does not know it.
    """
    try:
        return stored_trial(content, "its trial")
    except ConfigError as error:
        raise CheckpointError(f"the checkpoint is of another version: {error}") from error


def with_overrides(
    trial: TrialConfig | Mapping[str, object], overrides: Mapping[str, object], where: str = "trial"
) -> TrialConfig:
    """Return the trial with dotted keys set, validated as a whole.

    Another recipe (``retrain.recipe``) replaces the whole section ``retrain``; keys that are set
    with it win.

    Raises:
        ConfigError: If a key is unknown or a value is invalid.
    """
    content = trial.to_dict() if isinstance(trial, TrialConfig) else _flat(trial, where)
    settings = _current(overrides)
    for key in settings:
        check_key(key, where)
    _check_strategy(content, settings, where)
    content = _for_recipe(content, settings.get("retrain.recipe"))
    others = {key: value for key, value in settings.items() if not names_options(key)}
    content = _with_keys(content, others, where)
    options = {key: value for key, value in settings.items() if names_options(key)}
    if options:  # the names of the parts are set by now
        content = _flat(content, where)
        try:
            flat = flat_settings(options, content, others)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
        content = _with_keys(content, flat, where)
    return validate(TrialConfig, content, where)


def check_key(key: str, where: str) -> None:
    """Raise a ConfigError that names the nearest valid key if a trial has no such dotted key.

    An option of a part, e.g. ``relaxation.options.temperature.end``, is accepted; whether the part
    has it depends on the trial.
    """
    if split_option(key) is not None:
        return
    known = dotted_keys(TrialConfig)
    if key in known or any(each.startswith(f"{key}.") for each in known):
        return
    raise ConfigError(f"{where}: unknown key '{brief(key)}'{nearest(key, list(known))}")


def _check_strategy(
    content: Mapping[str, object], settings: Mapping[str, object], where: str
) -> None:
    """Raise a ConfigError if keys would turn a differentiable search into a black-box search.

    Only ``strategy`` and ``strategy.kind`` may do that.
    """
    if content.get("strategy") is not None or {"strategy", "strategy.kind"} & settings.keys():
        return
    for key in settings:
        if key.startswith("strategy."):
            raise ConfigError(
                f"{where}: {key} is set, but the trial has no strategy; it is for black-box "
                "searches; set strategy.kind too, e.g. random"
            )


def parse_assignment(text: str) -> tuple[str, object]:
    """Split ``update.lambda=0.3`` into its key and its value, parsed as YAML.

    Raises:
        ConfigError: If there is no ``=`` or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(
            f"'{brief(text)}' is not an assignment; write KEY=VALUE, e.g. update.lambda=0.3"
        )
    try:
        return current_key(TrialConfig, key.strip()), parse_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"the value in '{brief(text)}' is not valid YAML{_place(error)}"
        ) from error


def plain_rule(message: str) -> str:
    """Return pydantic's rule in our words: ``Input should be less than 1`` as ``must be < 1``."""
    for pattern, rule in _RULES:
        message = re.sub(pattern, rule, message)
    return message


def _current(settings: Mapping[str, object]) -> dict[str, object]:
    try:
        return current_settings(TrialConfig, settings)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _flat(content: Mapping[str, object], where: str) -> dict[str, object]:
    try:
        return without_options(content)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _for_recipe(content: Mapping[str, object], recipe: object) -> dict[str, object]:
    """Return a trial without the keys of ``retrain`` if it is to have another recipe."""
    own = content.get("retrain")
    has = own.get("recipe") if isinstance(own, Mapping) else None
    return dict(content) if recipe in (None, has) else {**content, "retrain": {}}


def _with_keys(
    content: Mapping[str, object], settings: Mapping[str, object], where: str
) -> dict[str, object]:
    own = dict(content)
    for key, value in settings.items():
        try:
            own = _set(own, key.split("."), value)
        except ValueError as error:
            raise ConfigError(f"{where}: {key} cannot be set: {error}") from error
    return own


def _with_module_dir(content: dict[str, object], folder: Path) -> dict[str, object]:
    """Return a trial's content with its file's folder, if it has the module of a custom data set.

    The processes of a sweep, and a resumed sweep, use it to find the module.
    """
    data = content.get("data")
    section = long_form("data", data)
    if not isinstance(section, Mapping) or section.get("module_dir") is not None:
        return content
    name = section.get("name")
    if not is_reference(name) or module_file(str(name).partition(":")[0], folder) is None:
        return content
    return {**content, "data": {**section, "module_dir": str(folder.resolve())}}


def _set(content: Mapping[str, object], path: list[str], value: object) -> dict[str, object]:
    head, *rest = path
    if not rest:
        return {**content, head: value}
    inner = long_form(head, content.get(head, {}))
    if inner is not None and not isinstance(inner, Mapping):
        raise ValueError(f"{head} is {shown(inner)}, but must be a mapping of keys")
    return {**content, head: _set(inner or {}, rest, value)}


def _complaint(model: type[BaseModel], problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        hint = nearest(key, _keys_beside(key, model))
        if hint.endswith(f"'{key}'?"):  # the same key, written with a dot inside its section
            hint = "; write its parts as nested sections"
        return f"unknown key '{brief(key)}'{hint}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":  # ours; those on combinations name their keys
        if key and message.startswith("must "):
            return f"{key} is {shown(problem['input'])}, but {message}"
        return message if not key or key in message else f"{key}: {message}"
    return f"{key or 'the whole'} is {shown(problem['input'])}, but {plain_rule(message)}"


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark and problem:
        return f", line {mark.line + 1}: {problem}"
    return f": {' '.join(str(error).split())}"


def _keys_beside(key: str, model: type[BaseModel]) -> list[str]:
    """Return a model's dotted keys; those of a mapping's entries with the entry of the key."""
    parent = key.rpartition(".")[0]
    known = []
    for candidate in dotted_keys(model):
        section, _, last = candidate.rpartition(".")
        inside = section and parent.startswith(f"{section}.")
        known.append(f"{parent}.{last}" if inside else candidate)
    return known
