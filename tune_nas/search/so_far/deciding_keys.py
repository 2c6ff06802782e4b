"""The keys of a trial that decide its search, with their effective values."""

from __future__ import annotations

import json
from functools import lru_cache

from tune_nas import manifest
from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.config.conditions import value_of
from tune_nas.config.effects import no_effect
from tune_nas.search.effective import EffectiveValues
from tune_nas.spaces import load_space
from tune_nas.user_code import declared_reads

Values = dict[str, object]
"""Values by dotted key, as JSON has them."""

_LABELS = ("name", "description")
_OF_OTHERS = (
    *("retrain", "analysis", "benchmark", "probes"),
    *("runtime.compile", "runtime.workers"),
    *("data.download", "data.workers", "data.streaming"),
)
_OF_REPORTS = ("retrain.skeleton", "retrain.init_channels", "retrain.cells", "benchmark.table")
_OF_PROBES = ("probes", "analysis")
_WITH_AUTO = (
    *("space.skeleton", "space.init_channels", "space.cells"),
    *("relaxation.init", "relaxation.init_std", "relaxation.weights", "relaxation.unsampled"),
    *("retrain.skeleton", "retrain.init_channels", "retrain.cells"),
)
# Keys without an effect on the result that leave a trace in the state or in a metric.
_LEAVES_A_TRACE = (
    *("relaxation.init", "relaxation.init_std", "relaxation.weights", "space", "schedule"),
    *("optimizer.alphas", "optimizer.weights.unsampled", "runtime", "data"),
)


def has_own_parts(trial: TrialConfig) -> bool:
    """Return whether a trial names custom parts, which may read any key; data sets do not count."""
    content = trial.to_dict()
    for key in manifest.KINDS:
        if key in ("data.name", *manifest.NOT_OF_TRIALS):
            continue
        value = value_of(content, key)
        for name in value if isinstance(value, list) else [value]:
            shipped = manifest.is_shipped(manifest.KINDS[key], name)
            if name not in (None, "none") and not shipped:
                return True
    return False


def runs_own_code(trial: TrialConfig) -> bool:
    """Return whether a search runs code of the user, which may have changed since an earlier run.

    That are custom parts, a custom data set, and custom operations in the file of its space.

    Raises:
        ConfigError: If the space cannot be loaded.
    """
    if has_own_parts(trial) or not manifest.is_shipped("datasets", trial.data.name):
        return True
    cells = load_space(trial.space.name, trial.space.skeleton).cells.values()
    names = {name for cell in cells for row in cell.operations for name in row}
    return not all(manifest.is_shipped("operations", name) for name in names)


def search_values(trial: TrialConfig, *, reports: bool = False) -> Values:
    """Return the values of all keys that may decide a search, but not those of its reports alone.

    ``auto`` and null are replaced by what they stand for, and keys without an effect have their
    default. With custom parts and in black-box searches, every key may decide.

    Args:
        trial: The trial.
        reports: Whether to return, before them, those of the keys that decide only what it reports
            of its genotypes: the size of the network of a retraining run, the table of true
            accuracies, and the probes with their options.
    """
    found = _values(trial)
    others = (*_LABELS, *_OF_OTHERS) if _reads_declared_keys(trial) else _LABELS
    own = {key: value for key, value in found.items() if not is_in(key, others)}
    if not reports:
        return own
    return {**within(found, (*_OF_REPORTS, *(_OF_PROBES if trial.probes else ()))), **own}


def deciding_text(trial: TrialConfig) -> str:
    """Return everything that decides a search and its reports, as canonical text.

    Trials with equal texts have equal results, bit for bit, with the same version of the code and
    on the same machine. Not in the text: the code of custom parts and data sets, and the content of
    image files and of the benchmark table. A space in a file is there with its content.

    Raises:
        ConfigError: If the trial's space cannot be loaded.
    """
    values = search_values(trial, reports=True)
    if (space := space_in_file(trial)) is not None:
        values["space of the file"] = space
    return json.dumps(values, sort_keys=True)


def space_in_file(trial: TrialConfig) -> Values | None:
    """Return the content of a trial's space that decides it; None for a built-in one.

    Raises:
        ConfigError: If the space cannot be loaded.
    """
    if _is_built_in(trial.space.name):
        return None
    space = load_space(trial.space.name, trial.space.skeleton).to_dict()
    return {**space, "description": ""}


def is_in(key: str, sections: tuple[str, ...]) -> bool:
    """Return whether a dotted key is one of some keys, or in one of some sections."""
    return f"{key}.".startswith(_heads(sections))


def within(values: Values, sections: tuple[str, ...]) -> Values:
    """Return the values of some keys and sections."""
    return {key: value for key, value in values.items() if is_in(key, sections)}


@lru_cache(maxsize=64)  # asked for each key in each epoch of each trial of a sweep
def _heads(sections: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{section}." for section in sections)


def _reads_declared_keys(trial: TrialConfig) -> bool:
    return trial.strategy is None and not has_own_parts(trial)


def _values(trial: TrialConfig) -> Values:
    content = EffectiveValues(_WITH_AUTO).of(trial)
    found = {key: value_of(content, key) for key in dotted_keys(TrialConfig)}
    if _reads_declared_keys(trial):
        found.update(_without_effect(trial))
    plain: Values = json.loads(json.dumps(found, default=str))
    return plain


def _without_effect(trial: TrialConfig) -> Values:
    """Return the defaults of keys that have no effect; not of those that have theirs anyway."""
    given, default = trial.to_dict(), TrialConfig().to_dict()
    found = {}
    for key in dotted_keys(TrialConfig):
        if is_in(key, (*_LEAVES_A_TRACE, *_OF_OTHERS, *_LABELS)):
            continue
        usual = value_of(default, key)
        has_default = value_of(given, key) == usual and key not in _WITH_AUTO
        if not has_default and no_effect(trial, key, declared_reads) is not None:
            found[key] = usual
    return found


def _is_built_in(space: str) -> bool:
    """Return whether the name of a space is that of a built-in one rather than of a file."""
    return "/" not in space and "." not in space
