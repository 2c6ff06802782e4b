"""The plan of a run: written to its folder before anything starts, read again by a resume."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import yaml

from tune_nas import library, paths
from tune_nas.errors import StorageError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.parameters import TRIAL
from tune_nas.sweep.resolution import BaseTrials, Resolved
from tune_nas.sweep.resolve import resolve_points
from tune_nas.sweep.retrain_trials import resolved_sections
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.stored import read_stored
from tune_nas.sweep.trial_values import portable
from tune_nas.yaml_text import dump_yaml, parse_yaml

SWEEP, TRIALS, STATE = paths.SWEEP, "trials.yaml", paths.STATE
RETRAINING = "retraining.yaml"
"""The settings of the retraining runs, if there are several."""
REMOVED = ".removed-"
"""Prefix of the folder of a run that is being removed."""
KINDS = ("sweep", "search", "retrain", "analysis")
STATUSES = ("running", "untracked", "finished")


@dataclass
class State:
    """The progress of a sweep.

    Args:
        kind: ``sweep``, ``search``, ``retrain`` or ``analysis``.
        status: ``running`` until everything is written, then ``finished``; ``untracked`` if only
            MLflow lacks something.
        phase: The phase that was started last.
        started: Seconds since 1970.
        mlflow: URI of the MLflow store; empty for the one in the storage, which may be moved.
        identity: Distinguishes the sweep from others of its name in a shared MLflow store.
        genotype: The genotype that a ``retrain`` trains, as YAML.
        parent_run: MLflow run that this genotype comes from, or that an ``analysis`` analyzes.
        options: The options that a resume takes over, from `RunOptions.for_resume`.
        folder: Directory in which it was started; its relative paths are relative to it.
        totals: Number of trials of each phase that was started.
        interrupted: What ended the last session, e.g. ``Ctrl-C``; empty if it ran to its end, is
            running, or died.
        extended: Whether seeds, values or trials were added: the trials of a grid are then
            numbered in the order in which they were added.
        renamed_from: Earlier name of the run, as long as MLflow has not been told.
    """

    kind: str = "sweep"
    status: str = "running"
    phase: str = "search"
    started: float = field(default_factory=time.time)
    mlflow: str = ""
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    genotype: str | None = None
    parent_run: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    folder: str = field(default_factory=os.getcwd)
    totals: dict[str, int] = field(default_factory=dict)
    interrupted: str = ""
    extended: bool = False
    renamed_from: str = ""


@dataclass
class Plan:
    """A sweep, its trials and its state, with the folder that contains them.

    Args:
        sweep: The sweep, named like the folder.
        bases: The trials with the sweep's fixed keys set; stored, since the files that they were
            read from may change before a resume.
    """

    storage: Storage
    sweep: SweepConfig
    bases: BaseTrials
    state: State

    @cached_property
    def resolved(self) -> Resolved:
        """The trials of a grid, or the base trials of any other sweep; resolved once."""
        return resolve_points(self.sweep, self.bases)

    def write(self) -> None:
        """Write all of it; the state last, since a folder with a state is a sweep."""
        self.write_sweep()
        self.write_trials()
        self.write_state()

    def write_sweep(self) -> None:
        """Write the sweep."""
        self.storage.write(SWEEP, _yaml(self.sweep.to_dict()))

    def write_trials(self) -> None:
        """Write the trials, and the settings of the retraining runs if there are several."""
        trials = {name: trial.to_dict() for name, trial in self.bases.trials.items()}
        self.storage.write(TRIALS, _yaml(trials))
        if self.sweep.retrain_grid.settings:
            self.storage.write(RETRAINING, _yaml(resolved_sections(self.sweep, self.bases)))

    def write_state(self, **changes: object) -> None:
        """Change entries of the state and write it."""
        for key, value in changes.items():
            setattr(self.state, key, value)
        self.storage.write(STATE, json.dumps(asdict(self.state), indent=1))


def read_plan(storage: Storage) -> Plan:
    """Read the plan of a sweep from its folder.

    Raises:
        StorageError: If it is missing or damaged.
        ConfigError: If this version does not know a key of it.
    """
    contents = {name: _content(storage, name) for name in (SWEEP, TRIALS)}
    # Recorded by a version that used the defaults of the installed Optuna: it continues so.
    contents[SWEEP].setdefault("tpe", None)
    trials = {
        name: library.stored_trial(trial, f"{storage.root}/{TRIALS}, trial '{name}'")
        for name, trial in contents[TRIALS].items()
    }
    if not trials:
        raise StorageError(f"{storage.root}/{TRIALS} is damaged; nothing to resume")
    state = read_state(storage)
    if state is None:
        raise StorageError(f"{storage.root}/{STATE} is missing or damaged; nothing to resume")
    sweep = library.validate(SweepConfig, contents[SWEEP], f"{storage.root}/{SWEEP}")
    # The folder may have been renamed, also by `tune-nas rename` that was killed before its end.
    sweep = sweep.model_copy(update={"name": storage.root.rpartition("/")[2]})
    swept = sweep.parameters.get(TRIAL)
    # An extension that was killed before it was complete has written trials for later values.
    named = trials if swept is None else [str(name) for name in swept.values]
    bases = {n: portable(trial, state.folder) for n, trial in trials.items() if n in named}
    retraining = _content(storage, RETRAINING) if RETRAINING in storage.names() else {}
    return Plan(storage, sweep, BaseTrials(bases, state.folder, retraining), state)


def _content(storage: Storage, name: str) -> dict[str, Any]:
    """Return the content of a file of the plan.

    Raises:
        StorageError: If it is missing or damaged.
    """
    try:
        content = parse_yaml(storage.read(name) or "")
    except yaml.YAMLError as error:
        raise StorageError(f"{storage.root}/{name} is damaged: not valid YAML") from error
    if not isinstance(content, dict):
        raise StorageError(f"{storage.root}/{name} is missing or damaged; nothing to resume")
    return content


def read_state(storage: Storage) -> State | None:
    """Return the state of a sweep; None if it is missing or damaged.

    Raises:
        StorageError: If a remote storage cannot be read.
    """
    try:
        text = (storage.read_bytes(STATE) or b"").decode("utf-8")
    except UnicodeDecodeError:
        return None
    except StorageError:
        if storage.local is None:
            raise  # it may be away for a moment
        return None  # one file on a disk, which must not hide the other runs
    try:
        content = read_stored(_StoredState, text)
        if "stage" in content:  # the name of the phase in earlier versions
            content["phase"] = content.pop("stage")
        state = State(**content)
        RunOptions(**state.options)
        read_stored(RunOptions, json.dumps(state.options))
    except (ValueError, TypeError):
        return None
    return state if state.kind in KINDS and state.status in STATUSES else None


def read_states(
    root: Storage, names: Iterable[str] | None = None
) -> Iterator[tuple[str, State | None]]:
    """Yield the name and the state of each run of a storage; None for a damaged state.

    Args:
        root: The storage.
        names: The runs to read, if they exist; None for all.

    Raises:
        StorageError: If the storage cannot be read.
    """
    for name in root.names() if names is None else names:
        if not name.startswith(REMOVED) and STATE in root.names(name):
            yield name, read_state(root.within(name))


@dataclass
class _StoredState(State):
    """The types of a state's entries in its file, including those of earlier versions."""

    stage: str = ""


def _yaml(content: Mapping[str, object]) -> str:
    plain = json.loads(json.dumps(content))  # tuples become lists; inf stays
    return dump_yaml(plain)
