"""The callback that shows the progress of a phase on stderr."""

from __future__ import annotations

from tune_nas.learner import DECISIONS
from tune_nas.sweep.progress_display import ProgressDisplay
from tune_nas.sweep.ray.driver_callback import DriverCallback, RayResult, RayTrial


class ProgressCallback(DriverCallback):
    """Shows the progress of a phase's trials on stderr.

    Args:
        display: The display of the phase.
    """

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display

    def on_trial_result(
        self,
        iteration: int,
        trials: list[RayTrial],
        trial: RayTrial,
        result: RayResult,
        **info: object,
    ) -> None:
        """Print a line if something was decided in an epoch."""
        if result.get(DECISIONS):
            self._display.decided(trial.trial_id, int(result["epoch"]), result[DECISIONS])

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: object) -> None:
        """Redraw the table."""
        self._display.refresh()

    def on_trial_complete(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Print a line for a trial that finished or was stopped."""
        self._display.ended(trial.trial_id)

    def on_trial_error(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Print a line for a trial that failed."""
        self._display.ended(trial.trial_id)

    def on_experiment_end(self, trials: list[RayTrial], **info: object) -> None:
        """Remove the table."""
        self._display.close()
