"""Callbacks for Ray's events: write the records and the runs in MLflow, end on a signal."""

from __future__ import annotations

from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.phase_runner import TrialTracking
from tune_nas.sweep.progress_display import ProgressDisplay
from tune_nas.sweep.ray.driver_callback import DriverCallback, RayResult, RayTrial
from tune_nas.sweep.ray.endings import error_line
from tune_nas.sweep.result_recorder import ResultRecorder
from tune_nas.sweep.runs.records import Records


class Recorder(DriverCallback):
    """Records each result in the same step in which Ray acted on it.

    Ray calls this directly after the scheduler; a kill thus loses both decision and result, or
    neither.

    Args:
        recorder: Writes the results to the records of the phase.
    """

    def __init__(self, recorder: ResultRecorder) -> None:
        self._recorder = recorder

    def on_trial_result(
        self,
        iteration: int,
        trials: list[RayTrial],
        trial: RayTrial,
        result: RayResult,
        **info: object,
    ) -> None:
        """Record the result, and whether the scheduler stopped the trial at it.

        Raises:
            ConfigError: If a search has ended, and none reports the metric of the sweep.
        """
        self._recorder.add(trial.trial_id, result)

    def on_trial_recover(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Record that a trial failed and is retried."""
        self._recorder.retry(trial.trial_id, trial.num_failures, error_line(trial))

    def on_trial_error(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Record why a trial failed for good."""
        self._recorder.fail(trial.trial_id, error_line(trial), lasting=trial.fails_again)


class RayInterruptedError(Exception):
    """A signal has arrived. Ray stops the processes of its trials only on an Exception."""


class InterruptionCallback(DriverCallback):
    """Ends Ray's loop between two of its steps after a signal.

    Args:
        interruption: Tells whether a signal has arrived.
        display: Says that the trials are stopped; None for a quiet run.
    """

    def __init__(self, interruption: Interruption, display: ProgressDisplay | None = None) -> None:
        self._interruption, self._display = interruption, display

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: object) -> None:
        """End the loop if a signal has arrived.

        Raises:
            RayInterruptedError: If one has; outside of Ray, `Interruption.check` raises it again.
        """
        if self._interruption.pressed and self._display is not None:
            self._display.stopping()
        self._interruption.check(RayInterruptedError)


class TrackingCallback(DriverCallback):
    """Updates MLflow on every event of a Ray trial; must come after the `Recorder`.

    Args:
        tracking: Tracking of the sweep.
        records: Records of the phase.
    """

    def __init__(self, tracking: TrialTracking, records: Records) -> None:
        self._tracking, self._records = tracking, records

    def _update(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, *_: object, **info: object
    ) -> None:
        """Write the current record of the trial."""
        self._tracking.update(self._records, trial.trial_id)

    on_trial_start = on_trial_result = on_trial_recover = _update
    on_trial_complete = on_trial_error = _update
