"""Callbacks for Ray's events: write the records and the runs in MLflow, end on a signal."""

from __future__ import annotations

import logging

from tune_nas.errors import ConfigError
from tune_nas.learner import ENDED
from tune_nas.shipped import nearest
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.ray.driver_callback import DriverCallback, RayResult, RayTrial
from tune_nas.sweep.ray.endings import error_line, stop_reason
from tune_nas.sweep.ray.reports import report_of
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stop_requests import BY_USER, StopRequests
from tune_nas.sweep.tracking import SweepTracking
from tune_nas.tasks import find_task

_logger = logging.getLogger(__name__)


class Recorder(DriverCallback):
    """Writes each result to the records, in the same step in which Ray acted on it.

    Ray calls this directly after the scheduler; a kill thus loses both decision and result, or
    neither.

    Args:
        records: Records of the phase.
        metric: The scheduler's metric.
        others: Further metrics that searches must report.
        requests: Requests of the user to stop trials; None if there are none.
    """

    def __init__(
        self,
        records: Records,
        metric: str,
        *others: str,
        requests: StopRequests | None = None,
    ) -> None:
        self._records, self._metric, self._requests = records, metric, requests
        self._needed = dict.fromkeys((metric, *others))
        self._warned: set[str] = set()

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
        if result.get("notes"):
            _logger.warning(result["notes"])
        record = self._records[trial.trial_id]
        epoch, epochs = int(result["epoch"]), record.job.epochs
        reason = ""
        if result.get("done") and epoch < epochs and not result.get(ENDED):
            value = result.get(self._metric)
            requests = self._requests
            by_user = requests is not None and requests.of_trial(trial.trial_id)
            by = BY_USER if by_user else "ASHA"
            reason = stop_reason(by, epoch, epochs, self._metric, value)
        self._records.add(trial.trial_id, report_of(result), stopped=reason)
        if self._requests is not None and result.get("done"):
            self._requests.withdraw(trial.trial_id)
        ranked = find_task(record.job.task).metric is None and bool(record.history)
        for metric in self._needed if ranked else ():
            if metric not in record.history[-1]:
                over = record.epoch == epochs or bool(result.get(ENDED))
                self._check_metric(metric, record, over=over)

    def _check_metric(self, metric: str, record: Record, *, over: bool) -> None:
        """Warn if a metric is missing in an epoch; stop a sweep if no search reports it.

        Args:
            metric: The metric.
            record: Record of a search whose last epoch lacks it.
            over: Whether that was the last epoch of the search: some metrics come late.

        Raises:
            ConfigError: If a search is over and none reports the metric.
        """
        last = [record.history[-1] for record in self._records if record.history]
        known = sorted({name for metrics in last for name in metrics})
        if metric in known:
            return
        hint = nearest(metric, known)
        if over:
            raise ConfigError(
                f"metric is '{metric}', which no search reports{hint}; they report "
                f"{', '.join(known)}"
            )
        if metric not in self._warned:
            self._warned.add(metric)
            _logger.warning(
                "metric is '%s', which is not reported in epoch %d%s; the sweep ends if the first "
                "search ends without it",
                *(metric, record.epoch, hint),
            )

    def on_trial_recover(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Record that a trial failed and is retried."""
        with self._records.changing(trial.trial_id) as record:
            record.retried(trial.num_failures, error_line(trial))

    def on_trial_error(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: object
    ) -> None:
        """Record why a trial failed for good."""
        line = error_line(trial)
        _logger.warning("trial %s failed: %s", trial.trial_id, line)
        with self._records.changing(trial.trial_id) as record:
            record.explain(line, lasting=trial.fails_again)


class RayInterruptedError(Exception):
    """A signal has arrived. Ray stops the processes of its trials only on an Exception."""


class InterruptionCallback(DriverCallback):
    """Ends Ray's loop between two of its steps after a signal.

    Args:
        interruption: Tells whether a signal has arrived.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def on_step_end(self, iteration: int, trials: list[RayTrial], **info: object) -> None:
        """End the loop if a signal has arrived.

        Raises:
            RayInterruptedError: If one has; outside of Ray, `Interruption.check` raises it again.
        """
        self._interruption.check(RayInterruptedError)


class TrackingCallback(DriverCallback):
    """Updates MLflow on every event of a Ray trial; must come after the `Recorder`.

    Args:
        tracking: Tracking of the sweep.
        records: Records of the phase.
    """

    def __init__(self, tracking: SweepTracking, records: Records) -> None:
        self._tracking, self._records = tracking, records

    def _update(
        self, iteration: int, trials: list[RayTrial], trial: RayTrial, *_: object, **info: object
    ) -> None:
        """Write the current record of the trial."""
        self._tracking.update(self._records, trial.trial_id)

    on_trial_start = on_trial_result = on_trial_recover = _update
    on_trial_complete = on_trial_error = _update
