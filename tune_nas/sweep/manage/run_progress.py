"""The progress of a run, as its folder shows it to any terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_nas import library
from tune_nas.errors import ConfigError, StorageError
from tune_nas.paths import LOG, STATE, SWEEP
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.manage.run_summaries import (
    Best,
    RunStatus,
    best_of,
    ranking,
    read_sweep,
    run_status,
)
from tune_nas.sweep.manage.trial_states import TrialState, read_trial_states
from tune_nas.sweep.runs.drivers import RUNNING
from tune_nas.sweep.runs.locking import locked_since
from tune_nas.sweep.runs.plan import read_state
from tune_nas.sweep.runs.storage import Storage


@dataclass(frozen=True)
class RunProgress(RunStatus):
    """The progress of a run.

    Args:
        number: Its number among the phases, counted from 1.
        phases: Number of phases.
        total: Number of trials of this phase; None if not known yet.
        trials: The trials of all phases.
        metric: The metric that ranks the run.
        best: Its best value; None without one.
        elapsed: Seconds since the run was started; of one that does not run, until its last result.
        left: Estimated seconds until the end of the phase; None if not known.
        log: Where warnings are written.
    """

    number: int
    phases: int
    total: int | None
    trials: Sequence[TrialState]
    metric: str
    best: Best | None
    elapsed: float
    left: float | None
    log: str

    @property
    def of_phase(self) -> list[TrialState]:
        """The trials of the phase."""
        return [trial for trial in self.trials if trial.phase == self.phase]


def run_progress(storage: str, name: str) -> RunProgress:
    """Return the progress of a run.

    Args:
        storage: Folder or URI in which runs are stored.
        name: The name of the run.

    Raises:
        StorageError: If its state is missing or damaged, or the storage cannot be read.
    """
    folder = Storage(storage).within(name)
    state = read_state(folder)
    if state is None:
        raise StorageError(f"{folder.root}/{STATE} is missing or damaged")
    status, reason = run_status(folder, state, name, storage)
    trials = read_trial_states(folder)
    sweep = read_sweep(folder)
    by = ranking(sweep)
    phases = _phases(sweep, state.kind)
    if state.phase not in phases:
        phases = [*phases, state.phase]
    now = time.time()
    newest = max((time for trial in trials for time in trial.times[-1:]), default=state.started)
    session = None if folder.local is None else locked_since(folder.local)
    own = [trial for trial in trials if trial.phase == state.phase]
    # a race over seeds takes fewer trials than planned
    ended = state.status != RUNNING and own
    total = len(own) if ended else state.totals.get(state.phase)
    running = status == RUNNING
    return RunProgress(
        name=name,
        kind=state.kind,
        status=status,
        reason=reason,
        phase=state.phase,
        number=phases.index(state.phase) + 1,
        phases=len(phases),
        total=total,
        trials=trials,
        metric=by.metric,
        best=best_of(trials, by),
        elapsed=(now if running else newest) - state.started,
        left=time_left(own, total, session or state.started, now) if running else None,
        log=f"{folder.root}/{LOG}",
    )


def time_left(
    trials: Sequence[TrialState], total: int | None, since: float, now: float
) -> float | None:
    """Return the estimated seconds until the end of a phase; None if it cannot be estimated.

    Every epoch that is left takes as long as those of the session took on average, with as many
    trials at a time.

    Args:
        trials: The trials of the phase.
        total: Number of trials of the phase.
        since: When the session began, in seconds since 1970.
        now: The current time.
    """
    run = sum(recorded >= since for trial in trials for recorded in trial.times)
    known = [trial.epochs for trial in trials if trial.epochs is not None]
    if not run or total is None or len(known) < len(trials):
        return None
    left = sum((trial.epochs or 0) - trial.epoch for trial in trials if trial.is_running)
    left += (total - len(trials)) * known[-1]
    return (now - since) / run * left


def _phases(keys: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of the phases of a run; of a damaged one, none."""
    if kind in ("retrain", "analysis"):
        return [kind]
    try:
        sweep = library.validate(SweepConfig, keys, SWEEP)
    except ConfigError:
        return []
    repeat = ["repeat"] if sweep.repeat_best else []
    return ["search", *repeat, *(["retrain"] if sweep.retrained else [])]
