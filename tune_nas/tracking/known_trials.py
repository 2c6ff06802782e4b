"""The trials that may have a run in the store, so that a new one need not be searched for."""

from __future__ import annotations

from tune_nas.tracking.experiment import Experiment
from tune_nas.tracking.tracked_run import SWEEP_RUN, TRIAL


class KnownTrials:
    """The trials of sweeps that may have a run: requested once for each sweep.

    Searching a store for a run by its tags takes longer, the more runs it has.

    Args:
        experiment: The experiment of the runs.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._of_sweeps: dict[str, set[str]] = {}

    def add(self, sweep_run_id: str, trial_id: str) -> bool:
        """Note that a trial may have a run from now on; return whether it might have one before."""
        if sweep_run_id not in self._of_sweeps:
            found = self._experiment.iterate({SWEEP_RUN: sweep_run_id})
            self._of_sweeps[sweep_run_id] = {run.data.tags.get(TRIAL, "") for run in found}
        known = self._of_sweeps[sweep_run_id]
        before = trial_id in known
        known.add(trial_id)
        return before

    def forget(self) -> None:
        """Request them again: a request that failed may have created a run."""
        self._of_sweeps.clear()
