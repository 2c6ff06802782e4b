"""The values of a trial by dotted key, and its absolute paths."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from tune_nas.benchmark import AUTO
from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.config.conditions import value_of
from tune_nas.config.options.option_keys import split_option
from tune_nas.config.section import Content
from tune_nas.manifest import is_reference
from tune_nas.paths import absolute, is_file
from tune_nas.shipped import shipped_names
from tune_nas.sweep.equal_values import has_mapping
from tune_nas.sweep.parameters import TRIAL
from tune_nas.text import plain_text


def portable(trial: TrialConfig, folder: str) -> TrialConfig:
    """Return a trial with absolute paths, since workers and resumes run in other folders.

    Args:
        trial: The trial.
        folder: Directory that its relative paths are relative to.
    """
    changes: dict[str, str] = {}
    space = absolute(trial.space.name, folder)
    if is_file(space) and trial.space.name not in shipped_names("space"):
        changes["space.name"] = space
    if is_reference(trial.data.name):
        changes["data.module_dir"] = absolute(trial.data.module_dir or "", folder)
    if trial.data.dir is not None:
        changes["data.dir"] = absolute(trial.data.dir, folder)
    if trial.start_from is not None:
        changes["start_from"] = absolute(trial.start_from, folder)
    if trial.benchmark.table not in (None, AUTO):
        changes["benchmark.table"] = absolute(trial.benchmark.table, folder)
    own = trial_values(trial) if changes else {}
    if all(own[key] == value for key, value in changes.items()):
        return trial
    return _with_paths(trial, changes)


def _with_paths(trial: TrialConfig, changes: Mapping[str, str]) -> TrialConfig:
    """Return a trial with other paths; it is not validated again."""
    own: dict[str, object] = {}
    for key, path in changes.items():
        section, _, name = key.rpartition(".")
        part = own.get(section, getattr(trial, section)) if section else None
        copied = part.model_copy(update={name: path}) if isinstance(part, BaseModel) else path
        own[section or name] = copied
    return trial.model_copy(update=own)


def reported(
    parameters: Mapping[str, object], trial: TrialConfig, *, sampled: bool = False
) -> dict[str, object]:
    """Return swept keys with their parsed values in the trial: YAML reads 1e-3 as text.

    Args:
        parameters: The swept keys with their values as they are listed.
        trial: The trial.
        sampled: Whether mappings stay as they are listed, without the defaults that they leave out,
            so that a sampler finds them among the listed ones again.
    """
    content = trial.to_dict()

    def as_listed(key: str, given: object) -> bool:
        return key == TRIAL or (sampled and has_mapping(given))

    return {
        key: given if as_listed(key, given) else _parsed(key, given, content)
        for key, given in parameters.items()
    }


def _parsed(key: str, given: object, content: Content) -> object:
    split = split_option(key)
    is_whole = split is not None and not split[1]  # all options: the keys of a shipped part
    return given if is_whole else value_of(content, key)


def trial_values(trial: TrialConfig) -> dict[str, object]:
    """Return every dotted key of a trial with its value; None for keys of a missing section."""
    content = trial.to_dict()
    return {key: value_of(content, key) for key in dotted_keys(TrialConfig)}


def values_text(parameters: Mapping[str, object]) -> str:
    """Return swept keys with their values, for a message."""
    return ", ".join(f"{key}={plain_text(value)}" for key, value in parameters.items())
