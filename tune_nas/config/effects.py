"""Which keys of a trial affect its result, given the values of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tune_nas import manifest
from tune_nas.config.conditions import CONDITIONS, Condition, tunes, value_of
from tune_nas.config.options.option_keys import (
    key_in_trial,
    keys_of_all_options,
    split_option,
)
from tune_nas.config.section import Content, dotted_keys
from tune_nas.config.short_forms import long_form
from tune_nas.config.strategy_conditions import search_conditions
from tune_nas.config.trial import TrialConfig
from tune_nas.errors import ConfigError

Reads = Callable[[str, str], Sequence[str] | None]
"""Takes a key that names a custom class, and that name; returns the keys that the class declares it
reads, or None if it declares none."""

_PHASES = "update.phases"
READS = {
    "retraining": (
        *("name", "description", "seed", "retrain", "runtime", "space.name"),
        "space.skeleton",
        *("data.name", "data.dir", "data.download", "data.train_images", "data.split"),
        *("data.resolution", "data.layout", "data.fit", "data.background", "data.module_dir"),
        *("data.streaming", "data.workers"),
    ),
    "analysis": (
        *("analysis", "runtime", "data.dir", "data.module_dir", "data.download"),
        *("data.layout", "selection.perturbation.batches"),
        "selection.perturbation.learning_rate_factor",
    ),
}
"""The keys and sections read by a retraining run and by the analysis of a finished search."""
_OWN_PARTS = [key for key in manifest.KINDS if key not in ("data.name", *manifest.NOT_OF_TRIALS)]


@dataclass(frozen=True)
class NoEffect:
    """Why a key of a trial has no effect.

    Args:
        key: The key.
        found: The values of the other keys that make it ineffective, as text.
        needs: The requirement, as text.
        keys: The other keys.
        when: The condition (``when``) under which it may be swept; empty if there is none.
    """

    key: str
    found: str
    needs: str
    keys: tuple[str, ...]
    when: Mapping[str, object]

    def __str__(self) -> str:
        return f"has no effect where {self.found}; it needs {self.needs}"


def no_effect(trial: TrialConfig, key: str, reads: Reads) -> NoEffect | None:
    """Return why a key has no effect on a trial's result; None if it has one.

    Args:
        trial: The trial.
        key: A dotted key, or ``update.phases.N.set.KEY``.
        reads: Returns the declarations of custom parts; called only if needed.
    """
    content: Content = trial.to_dict()
    if keys := keys_of_all_options(key, content):
        reasons = [no_effect(trial, each, reads) for each in keys]
        return None if None in reasons else reasons[0]
    views = list(_views(trial))
    typed, key = key, key_in_trial(key, content)
    if key.startswith(f"{_PHASES}."):
        _, _, number, _, inner = key.split(".", 4)
        views = [view for view in views if view.phase == int(number)]
        key_read = f"update.{inner}"
    else:
        views = [view for view in views if key not in view.overridden]
        key_read = key
        if not views:
            found = f"{_PHASES} set it for every epoch in which α moves"
            return NoEffect(typed, found, "an epoch of none of them", (_PHASES,), {})
    conditions = _conditions(key_read)
    unmet = [_first_unmet(conditions, view.content) for view in views]
    if None in unmet or not unmet or _is_declared(trial, key, reads):
        return None
    condition, content = unmet[-1], views[-1].content
    assert condition is not None
    return NoEffect(
        typed, condition.found(content), condition.needs, condition.keys, condition.when
    )


def set_keys(changes: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the keys that settings set, each with its setting.

    Sections are split into their keys, and phases of the update into theirs.
    """
    leaves = set(dotted_keys(TrialConfig))
    for setting, value in changes.items():
        for key in _leaves(setting, value, leaves):
            yield key, setting


def check_read(settings: Mapping[str, object], task: str) -> None:
    """Reject settings that have no effect on a task other than a search.

    Args:
        settings: Dotted keys with their values.
        task: A key of `READS`.

    Raises:
        ConfigError: Names the key and, if there is one, the key of that name that is read.
    """
    leaves = set(dotted_keys(TrialConfig))
    for key, _ in set_keys(settings):
        if any(f"{key}.".startswith(f"{read}.") for read in READS[task]):
            continue
        own = f"retrain.{key.partition('.')[2]}"
        hint = f"; did you mean '{own}'?" if task == "retraining" and own in leaves else ""
        article = "an" if task[0] in "aeiou" else "a"
        raise ConfigError(f"{key} is set, but has no effect on {article} {task}{hint}")


def set_value(trial: TrialConfig, key: str) -> object:
    """Return the value of a key that `set_keys` yields."""
    if not key.startswith(f"{_PHASES}."):
        return value_of(trial.to_dict(), key)
    _, _, number, _, inner = key.split(".", 4)
    return trial.update.phases[int(number)].set[inner]


def _leaves(key: str, value: object, leaves: set[str]) -> Iterator[str]:
    if split_option(key) is not None and isinstance(value, Mapping) and value:
        for option, entry in value.items():
            yield from _leaves(f"{key}.{option}", entry, leaves)
    elif key in leaves or split_option(key) is not None:
        yield key
        phases = value if key == _PHASES and isinstance(value, list) else []
        for number, phase in enumerate(phases):
            for inner in phase["set"]:
                yield f"{key}.{number}.set.{inner}"
    elif isinstance(value, Mapping):
        for inner, entry in value.items():
            yield from _leaves(f"{key}.{inner}", entry, leaves)
    elif isinstance(named := long_form(key, value), Mapping):
        yield from (f"{key}.{inner}" for inner in named)


@dataclass(frozen=True)
class _View:
    """A trial in some of its epochs: with the update of a phase instead of its default one."""

    content: Content
    overridden: frozenset[str] = frozenset()
    phase: int | None = None


def _views(trial: TrialConfig) -> Iterator[_View]:
    """Yield the trial in each phase in which α is updated and, last, after all phases."""
    content, phases = trial.to_dict(), trial.update.phases
    start = 0
    for number, phase in enumerate(phases):
        if any(trial.moves_alphas(epoch) for epoch in range(start, phase.until)):
            update = trial.update.in_epoch(phase.until - 1).to_dict()
            overridden = frozenset(f"update.{key}" for key in phase.set)
            yield _View({**content, "update": update}, overridden, number)
        start = phase.until
    if start < trial.schedule.epochs or tunes(content):
        yield _View(content)


def _conditions(key: str) -> list[Condition]:
    """Return the conditions of a key and of its sections, outermost first."""
    parts = key.split(".")
    prefixes = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    own = [condition for prefix in prefixes for condition in CONDITIONS.get(prefix, ())]
    return [*search_conditions(key), *own]


def _first_unmet(conditions: Sequence[Condition], content: Content) -> Condition | None:
    return next((each for each in conditions if not each.holds(content)), None)


def _is_declared(trial: TrialConfig, key: str, reads: Reads) -> bool:
    """Return whether a custom part reads a key: one it declares, or any of its section."""
    content = trial.to_dict()
    for named in _OWN_PARTS:
        value = value_of(content, named)
        for name in value if isinstance(value, list) else [value]:
            if name in ("none", None) or manifest.is_shipped(manifest.KINDS[named], name):
                continue
            declared = reads(named, name)
            claimed = [named.rpartition(".")[0]] if declared is None else declared
            for prefix in claimed:
                if not any(
                    f"{leaf}.".startswith(f"{prefix}.") for leaf in dotted_keys(TrialConfig)
                ):
                    raise ConfigError(
                        f"{named} is '{name}', whose `reads` has '{prefix}', no key of a trial"
                    )
            if any(key == prefix or key.startswith(f"{prefix}.") for prefix in claimed):
                return True
    return False
