"""The work of `tune-nas show`: the resolved content of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer
import yaml

from tune_nas import shipped
from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.config.conditions import value_of
from tune_nas.config.effects import no_effect
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, read_yaml
from tune_nas.paths import is_file
from tune_nas.shipped import nearest, shipped_names
from tune_nas.sweep.resolve import load_sweep
from tune_nas.text import brief
from tune_nas.user_code import declared_reads


def print_content(content: Mapping[str, object], comment: str = "") -> None:
    """Print a mapping as YAML, followed by a comment."""
    typer.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100), nl=False)
    typer.echo(comment, nl=False)


def trial_content(name: str) -> dict[str, object]:
    """Return every key of a trial with its value."""
    return load_trial(name).to_dict()


def sweep_content(name: str) -> dict[str, object]:
    """Return every key of a sweep with its value."""
    return load_sweep(name).to_dict()


def kind_of(name: str) -> str:
    """Return ``trial``, ``space`` or ``sweep``; of a file, by keys that are unique to one."""
    known = {name: kind for kind in shipped.KINDS for name in shipped_names(kind)}
    if name in known:
        return known[name]
    if not is_file(name):
        raise ConfigError(
            f"'{brief(name)}' is neither a file nor a shipped trial, space or sweep"
            f"{nearest(name, list(known)) or '; see `tune-nas list`'}"
        )
    return shipped.kind_of(read_yaml(Path(name)))


def without_effect(name: str) -> str:
    """Return the keys without effect on a search as comment lines; empty if there are none."""
    trial = load_trial(name)
    content = trial.to_dict()
    by_section: dict[str, list[tuple[str, str | None]]] = {}
    for key in dotted_keys(TrialConfig):
        parent, _, _ = key.rpartition(".")
        if parent and value_of(content, parent) is None:
            continue  # of a section that is null, e.g. of a rule that the trial does not have
        reason = no_effect(trial, key, declared_reads)
        found = None if reason is None else reason.found
        by_section.setdefault(key.partition(".")[0], []).append((key, found))
    lines: list[str] = []
    for section, entries in by_section.items():
        if len({found for _, found in entries}) == 1:  # the whole section, for one reason
            entries = [(section, entries[0][1])]
        lines += [f"#   {key}: {found}\n" for key, found in entries if found is not None]
    return "".join(["# no effect on this trial:\n", *lines]) if lines else ""
