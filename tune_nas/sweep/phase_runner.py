"""The interface of what runs the jobs of a phase: Ray, or this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.phases import Known, Phase
from tune_nas.sweep.runs.records import Records


class TrialTracking(Protocol):
    """What the runner of a phase needs of the sweep's runs in MLflow."""

    def update(self, records: Records, job_id: str) -> None:
        """Write the current record of a trial, as far as the store can be used now."""


class PhaseRunner(Protocol):
    """Runs phases of one sweep; each ends when all of its jobs have ended."""

    def run(self, phase: Phase, known: Known) -> None:
        """Run a phase unless it has nothing left to run.

        Args:
            phase: The phase.
            known: The records of all phases.
        """


MakeRunner = Callable[[TrialTracking, Interruption], PhaseRunner]
"""Makes the runner of a sweep, given its runs in MLflow and the signals that end it."""
