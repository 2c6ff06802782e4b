"""Running the jobs of a phase, on Ray or in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phases import Known, Phase
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.sharing.courses import asha_stops
from tune_nas.sweep.sharing.finished_trials import FinishedTrials, Reuse
from tune_nas.sweep.sharing.sharing import Sharing
from tune_nas.sweep.sharing.sharing_source import SharingSource
from tune_nas.sweep.sources import ListSource, Source
from tune_nas.tasks import Tasks


class TrialTracking(Protocol):
    """The MLflow runs of a sweep, as the runner of a phase uses them."""

    def update(self, records: Records, job_id: str) -> None:
        """Write the current record of a trial, as far as the store can be used now."""


class PhaseRunner(ABC):
    """Runs phases of one sweep; each ends when all of its jobs have ended.

    Args:
        plan: The sweep.
        options: Where and how trials run.
        tasks: Tasks that replace those that jobs name.
        tracking: MLflow runs of the sweep.
        interruption: Ends the session after a signal.
    """

    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        tasks: Tasks,
        tracking: TrialTracking,
        interruption: Interruption,
    ) -> None:
        self._plan, self._options, self._tasks = plan, options, tasks
        self._tracking, self._interruption = tracking, interruption
        self._finished = FinishedTrials(Storage(options.storage), plan.sweep.name)
        self._reuse = Reuse()

    def run(self, phase: Phase, known: Known) -> None:
        """Run a phase unless it has nothing left to run.

        Args:
            phase: The phase.
            known: The records of all phases.
        """
        source = phase.source(known)
        own = self._tasks.get(phase.task)
        self._reuse = Reuse(own, self._finished if self._reuses(phase) else None)
        if isinstance(source, ListSource) and self._plan.sweep.share:
            source = self._sharing(phase, source, known[phase.name])
        if source is not None:
            totals = {**self._plan.state.totals, phase.name: source.total}
            self._plan.write_state(totals=totals)
            self._run(phase, source, known[phase.name])

    def _reuses(self, phase: Phase) -> bool:
        """Return whether trials are taken over whole: ASHA may stop them before their end."""
        sweep = self._plan.sweep
        return sweep.reuse and not (phase.early_stopping and sweep.scheduler == "asha")

    def _sharing(self, phase: Phase, source: ListSource, records: Records) -> Source:
        """Return the source in which trials that are the same so far run their epochs once."""
        stops = asha_stops(self._plan.sweep, source.jobs) if phase.early_stopping else []
        sharing = Sharing(source.jobs, records, self._tasks.get(phase.task), stops)
        self._reuse = replace(self._reuse, courses=sharing.courses)
        return SharingSource(source, sharing) if sharing.any else source

    @abstractmethod
    def _run(self, phase: Phase, source: Source, records: Records) -> None:
        """Run the jobs of a source to their ends."""


MakeRunner = Callable[[TrialTracking, Interruption], PhaseRunner]
"""Makes the runner of a sweep, given its runs in MLflow and the signals that end it."""
