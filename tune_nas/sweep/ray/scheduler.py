"""Early stopping: by the user, or by ASHA with the same decisions after a resume."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stop_requests import StopRequests


class _Known:
    """A recorded trial, as far as ASHA reads it."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


class Asha(AsyncHyperBandScheduler):  # type: ignore[misc]
    """ASHA whose rungs follow from the records.

    Ray drops a scheduler's state when it restores an experiment, and then files values of later
    epochs under earlier rungs. Here a resumed sweep replays every recorded result to ASHA, in the
    original order: the rungs are then identical to those before.

    Args:
        metric: Metric to compare at equal ``epoch``.
        mode: ``max`` or ``min``.
        epochs: Epochs of a trial that runs to its end.
        grace_period: Minimum number of epochs of every trial.
        reduction_factor: One in this many trials continues at each rung.
    """

    def __init__(
        self, *, metric: str, mode: str, epochs: int, grace_period: int, reduction_factor: float
    ) -> None:
        super().__init__(
            time_attr="epoch",
            metric=metric,
            mode=mode,
            max_t=epochs,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
        )

    def replay(self, records: Records) -> None:
        """Replay the results of an earlier session."""
        known = {record.job.id: _Known(record.job.id) for record in records}
        for trial in known.values():
            self.on_trial_add(None, trial)
        for record, metrics in records.in_order():
            self.on_trial_result(None, known[record.job.id], metrics)
        for record in records:
            if record.ended:
                self._trial_info.pop(record.job.id, None)

    def rungs(self) -> dict[float, dict[str, float]]:
        """Return the recorded value of each trial at each milestone."""
        return {milestone: dict(values) for milestone, values in self._brackets[0]._rungs}


class _Stoppable(TrialScheduler):  # type: ignore[misc]
    """Also ends a trial that the user stops; the rungs of ASHA have its last result, too."""

    requests: StopRequests | None = None

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial continues; a replayed result decides nothing."""
        decision: str = super().on_trial_result(controller, trial, result)
        if controller is None or self.requests is None:
            return decision
        return TrialScheduler.STOP if self.requests.of_trial(trial.trial_id) else decision


class _ToEnd(_Stoppable, FIFOScheduler):  # type: ignore[misc]
    """Runs each trial to its end, unless the user stops it."""


class _StoppableAsha(_Stoppable, Asha):
    """ASHA, unless the user stops a trial."""


def make_scheduler(
    sweep: SweepConfig | None, epochs: int, records: Records, requests: StopRequests | None = None
) -> TrialScheduler:
    """Return the scheduler of a phase.

    Args:
        sweep: The sweep; None for a phase in which no trial is stopped early.
        epochs: Epochs of a trial that runs to its end.
        records: Records of an earlier session.
        requests: Requests of the user to stop trials; None if there are none.
    """
    if sweep is None or sweep.scheduler == "none":
        to_end = _ToEnd()
        to_end.requests = requests
        return to_end
    asha = _StoppableAsha(
        metric=sweep.search_metric,
        mode=sweep.mode,
        epochs=epochs,
        grace_period=sweep.asha.grace_period,
        reduction_factor=sweep.asha.reduction_factor,
    )
    asha.requests = requests
    asha.replay(records)
    return asha
