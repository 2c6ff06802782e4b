"""Lines on stderr about keys of a user's trial file that have no effect; they are only notes."""

from __future__ import annotations

import sys
from collections.abc import Collection

from tune_nas.config import TrialConfig
from tune_nas.config.effects import no_effect, set_keys, set_value
from tune_nas.library import read_yaml
from tune_nas.shipped import find, shipped_names
from tune_nas.user_code import declared_reads


def note_ineffective(name: str, trial: TrialConfig, changed: Collection[str] = ()) -> None:
    """Print a line for each key of a trial file that has no effect and not its default value.

    Args:
        name: A shipped trial, for which nothing is printed, or the path of a file.
        trial: The trial read from the file.
        changed: Keys that are set or swept: keys made ineffective by them are not reported.
    """
    if name in shipped_names("trial"):
        return
    usual = TrialConfig()
    for key, setting in set_keys(read_yaml(find("trial", name))):
        reason = no_effect(trial, key, declared_reads)
        if reason is None or {key, setting, *reason.keys} & set(changed):
            continue
        value = set_value(trial, key)
        if "phases." in key or value != set_value(usual, key):
            print(f"tune-nas: note: {name}: {key} is {value!r}, but {reason}", file=sys.stderr)
