"""Writing the results of trials to the records, with and without Ray."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from tune_nas.errors import ConfigError
from tune_nas.learner import ENDED
from tune_nas.shipped import nearest
from tune_nas.sweep.ray.endings import stop_reason
from tune_nas.sweep.ray.reports import report_of
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stop_requests import BY_USER, StopRequests
from tune_nas.tasks import find_task

_logger = logging.getLogger(__name__)


class ResultRecorder:
    """Writes each result and each failure of a trial to the records.

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

    def add(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Record a result, and whether the scheduler stopped the trial at it.

        Args:
            trial_id: Id of the trial.
            result: From `TrialEpochs.step`, with ``done`` for the last result.

        Raises:
            ConfigError: If a search has ended, and none reports the metric of the sweep.
        """
        if result.get("notes"):
            _logger.warning(result["notes"])
        record = self._records[trial_id]
        epoch, epochs = int(result["epoch"]), record.job.epochs
        reason = ""
        if result.get("done") and epoch < epochs and not result.get(ENDED):
            value = result.get(self._metric)
            by = BY_USER if self.is_asked_to_stop(trial_id) else "ASHA"
            reason = stop_reason(by, epoch, epochs, self._metric, value)
        self._records.add(trial_id, report_of(result), stopped=reason)
        if self._requests is not None and result.get("done"):
            self._requests.withdraw(trial_id)
        ranked = find_task(record.job.task).metric is None and bool(record.history)
        for metric in self._needed if ranked else ():
            if metric not in record.history[-1]:
                over = record.epoch == epochs or bool(result.get(ENDED))
                self._check_metric(metric, record, over=over)

    def is_asked_to_stop(self, trial_id: str) -> bool:
        """Return whether the user has asked to stop a trial."""
        return self._requests is not None and self._requests.of_trial(trial_id)

    def retry(self, trial_id: str, failures: int, line: str) -> None:
        """Record that a trial failed and is retried, and how many times it has failed."""
        with self._records.changing(trial_id) as record:
            record.retried(failures, line)

    def fail(self, trial_id: str, line: str, *, lasting: bool) -> None:
        """Record why a trial failed for good.

        Args:
            trial_id: Id of the trial.
            line: The error, in one line.
            lasting: Whether a retry would fail in the same way.
        """
        _logger.warning("trial %s failed: %s", trial_id, line)
        with self._records.changing(trial_id) as record:
            record.explain(line, lasting=lasting)

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
