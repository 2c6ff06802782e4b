"""The callback that shows the progress of a phase on stderr."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.live import Live

from tune_nas.learner import DECISIONS
from tune_nas.sweep.phase_progress import PhaseProgress
from tune_nas.sweep.ray.driver_callback import DriverCallback, RayResult, RayTrial


class ProgressCallback(DriverCallback):
    """Shows the progress of a phase's trials on stderr: a live table, or a line for each end.

    Args:
        progress: The progress of the phase.
        live: Show a table that is redrawn, for a terminal; otherwise lines.
    """

    def __init__(self, progress: PhaseProgress, *, live: bool) -> None:
        self._progress = progress
        self._live: Live | None = None
        self._wants_live = live
        if not live:
            _print(progress.heading())

    def on_trial_result(
        self,
        iteration: int,
        trials: list[RayTrial],
        trial: RayTrial,
        result: RayResult,
        **info: object,
    ) -> None:
        """Print a line if something was decided in an epoch."""
        if not result.get(DECISIONS):
            return
        epoch = int(result["epoch"])
        line = self._progress.decision_line(trial.trial_id, epoch, result[DECISIONS])
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        elif not self._wants_live:
            _print(line)

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: object) -> None:
        """Redraw the table, at most twice a second."""
        if not self._wants_live:
            return
        if self._live is None:
            self._live = Live(
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=2,
                redirect_stdout=False,
            )
            self._live.start()
        self._live.update(self._progress.table())

    def on_trial_complete(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Print a line for a trial that finished or was stopped."""
        self._end(trial)

    def on_trial_error(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Print a line for a trial that failed."""
        self._end(trial)

    def on_experiment_end(self, trials: list[RayTrial], **info: object) -> None:
        """Remove the table."""
        self.close()

    def close(self) -> None:
        """Release the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _end(self, trial: RayTrial) -> None:
        if not self._wants_live:
            _print(self._progress.end_line(trial.trial_id))


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
