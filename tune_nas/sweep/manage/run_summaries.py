"""The runs of a storage, one summary each, from its files alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tune_nas.errors import StorageError
from tune_nas.paths import STATE, SWEEP
from tune_nas.report.labels import RETRAIN
from tune_nas.report.objectives import Constraint, meets_all
from tune_nas.status import Status
from tune_nas.sweep.manage.trial_states import TrialState, read_trial_states
from tune_nas.sweep.objective_keys import parse_constraint
from tune_nas.sweep.options import storage_option
from tune_nas.sweep.runs.drivers import RUNNING, status_of
from tune_nas.sweep.runs.plan import REMOVED, State, read_state
from tune_nas.sweep.runs.storage import Storage
from tune_nas.yaml_text import parse_yaml

DAMAGED = "damaged"
STATUSES = (RUNNING, "lost", "interrupted", "finished", "untracked", DAMAGED)
"""Statuses of a run; ``untracked``: only MLflow lacks something."""
_SEARCHED = ("search", "repeat")


@dataclass(frozen=True)
class Ranking:
    """What a run is ranked by.

    Args:
        metric: The metric; with several objectives, the first.
        mode: ``max`` or ``min``.
        constraints: Searches that violate one are not ranked.
    """

    metric: str = "valid_accuracy"
    mode: str = "max"
    constraints: tuple[Constraint, ...] = ()


@dataclass(frozen=True)
class Best:
    """The best value of a run.

    Args:
        value: The value.
        metric: Its metric.
        trial_id: The trial that has it.
        is_final: Whether that trial ran to its end; else none has yet.
        mode: Whether the best is the highest (``max``) or the lowest value (``min``).
    """

    value: float
    metric: str
    trial_id: str
    is_final: bool
    mode: str


@dataclass(frozen=True)
class RunStatus:
    """The status of a run.

    Args:
        name: Its name.
        kind: ``sweep``, ``search``, ``retrain`` or ``analysis``; empty if damaged.
        status: One of `STATUSES`.
        reason: How the status is known, or what to do; empty for a certain one.
        phase: The phase that was started last; empty if damaged.
    """

    name: str
    kind: str
    status: str
    reason: str
    phase: str

    @property
    def is_running(self) -> bool:
        """Whether its driver is alive, as far as known."""
        return self.status == RUNNING


@dataclass(frozen=True)
class RunSummary(RunStatus):
    """A run in one line.

    Args:
        total: Number of trials of the phases that were started; of a run that has ended, of those
            that it took, which may be fewer: a race over seeds drops some.
        done: Number of trials that finished or were stopped early.
        running: Number of trials that are running.
        lost: Number of trials that were running when the driver ended.
        failed: Number of trials that failed.
        best: The best value by the run's metric; None without one.
        started: When it was started, in seconds since 1970; 0 if not known.
        size: Bytes of its folder; None if they were not counted.
    """

    total: int = 0
    done: int = 0
    running: int = 0
    lost: int = 0
    failed: int = 0
    best: Best | None = None
    started: float = 0.0
    size: int | None = None


def run_summaries(storage: str, names: Iterable[str] | None = None) -> Iterator[RunSummary]:
    """Yield the summary of each run of a storage, by name.

    Args:
        storage: Folder or URI in which runs are stored.
        names: The runs; None for all.

    Raises:
        StorageError: If the storage cannot be listed.
    """
    root = Storage(storage)
    for name in root.names() if names is None else names:
        if not name.startswith(REMOVED) and STATE in root.names(name):
            yield summarize(root.within(name), name, storage)


def summarize(folder: Storage, name: str, storage: str) -> RunSummary:
    """Return the summary of a run.

    Args:
        folder: The run's folder.
        name: Its name.
        storage: The storage, for the command that resumes it.
    """
    state = read_state(folder)
    if state is None:
        reason = f"{STATE} cannot be read"
        return RunSummary(name, "", DAMAGED, reason, "", size=folder.size())
    status, reason = run_status(folder, state, name, storage)
    trials = read_trial_states(folder)
    running = sum(trial.is_running for trial in trials)
    alive = status == RUNNING
    planned = sum(state.totals.values()) if state.status == RUNNING or not trials else 0
    return RunSummary(
        name=name,
        kind=state.kind,
        status=status,
        reason=reason,
        phase=state.phase,
        total=max(planned, len(trials)),
        done=sum(trial.is_done for trial in trials),
        running=running if alive else 0,
        lost=0 if alive else running,
        failed=sum(trial.failed for trial in trials),
        best=best_of(trials, ranking(read_sweep(folder))),
        started=state.started,
        size=folder.size(),
    )


def run_status(folder: Storage, state: State, name: str, storage: str) -> tuple[str, str]:
    """Return the status of a run, and how it is known or what to do."""
    resume = f"tune-nas resume {name}{storage_option(storage)}"
    try:
        found = status_of(folder, state, resume)
    except (OSError, StorageError) as error:
        return state.status, f"its folder cannot be read: {error}"
    if state.status == RUNNING or (folder.local is not None and found.status == RUNNING):
        return found.status, found.reason
    hint = f"send it with: {resume}" if state.status == "untracked" else ""
    return state.status, hint


def read_sweep(folder: Storage) -> dict[str, Any]:
    """Return the keys of a run's ``sweep.yaml``; empty if it cannot be read."""
    try:
        content = parse_yaml(folder.read(SWEEP) or "")
    except (yaml.YAMLError, StorageError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def ranking(sweep: Mapping[str, Any]) -> Ranking:
    """Return the ranking of a run by the keys of its sweep; the usual one if they are damaged."""
    try:
        bounds = tuple(parse_constraint(str(text)) for text in sweep.get("constraints") or ())
        first = (sweep.get("metrics") or [{}])[0]
        metric = first.get("name") or sweep.get("metric", "valid_accuracy")
        mode = first.get("mode") or sweep.get("mode", "max")
    except (ValueError, TypeError, LookupError, AttributeError):
        return Ranking()
    return Ranking(str(metric), str(mode), bounds)


def best_of(trials: Sequence[TrialState], by: Ranking) -> Best | None:
    """Return the best last value of a metric, of the finished trials if there are any.

    If retraining runs rank the run and none has a value yet, searches are compared by their
    validation accuracy.

    Args:
        trials: The trials of a run.
        by: What ranks it.
    """
    metric = by.metric
    key = metric
    candidates = [
        trial
        for trial in trials
        if trial.phase in _SEARCHED and meets_all(by.constraints, trial.metrics.get)
    ]
    if metric == RETRAIN:
        key = metric.rpartition("/")[2]
        retrained = [trial for trial in trials if trial.phase == "retrain" and key in trial.metrics]
        if retrained:
            candidates = retrained
        else:
            metric = key = "valid_accuracy"
    elif not any(trial.phase in _SEARCHED for trial in trials):
        candidates = list(trials)
    known = [trial for trial in candidates if math.isfinite(trial.metrics.get(key, math.nan))]
    final = [trial for trial in known if trial.status == Status.FINISHED]
    choose: Callable[..., TrialState] = max if by.mode == "max" else min
    if not known:
        return None
    best = choose(final or known, key=lambda trial: trial.metrics[key])
    return Best(best.metrics[key], metric, best.trial_id, bool(final), by.mode)
