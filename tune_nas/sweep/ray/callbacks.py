"""Callbacks for Ray's events: write the records, show the progress."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tune_nas.errors import ConfigError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.library import nearest
from tune_nas.status import Status
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.ray.endings import error_line, stop_reason
from tune_nas.sweep.ray.reports import report_of
from tune_nas.sweep.runs.records import Record, Records
from tune_nas.tasks import find_task
from tune_nas.text import plural

_logger = logging.getLogger(__name__)


class Recorder(Callback):  # type: ignore[misc]
    """Writes each result to the records, in the same step in which Ray acted on it.

    Ray calls this directly after the scheduler; a kill thus loses both decision and result, or
    neither.

    Args:
        records: Records of the phase.
        metric: The scheduler's metric.
    """

    def __init__(self, records: Records, metric: str) -> None:
        self._records, self._metric = records, metric
        self._has_warned = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray pickles this with the experiment, but it is never read."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
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
            reason = stop_reason("ASHA", epoch, epochs, self._metric, value)
        self._records.add(trial.trial_id, report_of(result), stopped=reason)
        ranked = find_task(record.job.task).metric is None and bool(record.history)
        if ranked and self._metric not in record.history[-1]:
            self._check_metric(record, over=record.epoch == epochs or bool(result.get(ENDED)))

    def _check_metric(self, record: Record, *, over: bool) -> None:
        """Warn if a metric is missing in an epoch; stop a sweep if no search reports it.

        Args:
            record: Record of a search whose last epoch lacks it.
            over: Whether that was the last epoch of the search: some metrics come late.

        Raises:
            ConfigError: If a search is over and none reports the metric.
        """
        last = [record.history[-1] for record in self._records if record.history]
        known = sorted({name for metrics in last for name in metrics})
        if self._metric in known:
            return
        hint = nearest(self._metric, known)
        if over:
            raise ConfigError(
                f"metric is '{self._metric}', which no search reports{hint}; they report "
                f"{', '.join(known)}"
            )
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "metric is '%s', which is not reported in epoch %d%s; the sweep ends if the first "
                "search ends without it",
                *(self._metric, record.epoch, hint),
            )

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record that a trial failed and is retried."""
        self._records.retried(trial.trial_id, trial.num_failures, error_line(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record why a trial failed for good."""
        line = error_line(trial)
        _logger.warning("trial %s failed: %s", trial.trial_id, line)
        self._records.explain(trial.trial_id, line, lasting=trial.fails_again)


class RayInterruptedError(Exception):
    """A signal has arrived. Ray stops the processes of its trials only on an Exception."""


class InterruptionCallback(Callback):  # type: ignore[misc]
    """Ends Ray's loop between two of its steps after a signal.

    Args:
        interruption: Tells whether a signal has arrived.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray pickles this with the experiment, but it is never read."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """End the loop if a signal has arrived.

        Raises:
            RayInterruptedError: If one has; outside of Ray, `Interruption.check` raises it again.
        """
        self._interruption.check(RayInterruptedError)


class Progress(Callback):  # type: ignore[misc]
    """Shows the progress of a phase's trials on stderr: a live table, or a line for each end.

    Args:
        records: Records of the phase.
        total: Number of trials.
        metric: Metric that ranks the sweep.
        live: Show a table that is redrawn, for a terminal; otherwise lines.
    """

    def __init__(self, records: Records, total: int, metric: str, *, live: bool) -> None:
        self._records, self._total, self._metric = records, total, metric
        self._live: Live | None = None
        self._wants_live = live
        self._started = time.monotonic()
        self._epochs_before = sum(len(record.history) for record in records)
        self._done_before = sum(record.ended for record in records)
        if not live:
            self._line(self._heading())

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out, in particular the live display, which cannot be pickled."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Print a line if something was decided in an epoch."""
        if not result.get(DECISIONS):
            return
        record = self._records[trial.trial_id]
        epoch = f"epoch {int(result['epoch'])}/{record.job.epochs}"
        line = f"{self._records.phase} {record.job.label}: {epoch}: {result[DECISIONS]}"
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        elif not self._wants_live:
            self._line(line)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
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
        self._live.update(self._table())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print a line for a trial that finished or was stopped."""
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print a line for a trial that failed."""
        self._end(trial)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Remove the table."""
        self.close()

    def close(self) -> None:
        """Release the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _end(self, trial: Any) -> None:
        if self._wants_live:
            return
        record = self._records[trial.trial_id]
        done = sum(other.ended for other in self._records)
        words = record.reason or record.status
        if record.status is Status.FINISHED:
            words += self._value(record)
        left = f"; {self._time_left()} left" if done < self._total else ""
        phase = self._records.phase
        self._line(f"{phase} {done}/{self._total}: {record.job.label}: {words}{left}")

    def _heading(self) -> str:
        before = f", {self._done_before} of them done before" if self._done_before else ""
        return f"{self._records.phase}: {plural(self._total, 'trial')}{before}"

    def _value(self, record: Record) -> str:
        metric = find_task(record.job.task).metric or self._metric
        value = record.value(metric)
        return "" if value is None else f", {metric} {value:.2f}"

    def _time_left(self) -> str:
        run = sum(len(record.history) for record in self._records) - self._epochs_before
        if run == 0:
            return "…"
        known = list(self._records)
        left = sum(record.epochs_left for record in known)
        if known:
            last = known[-1].job
            left += (self._total - len(known)) * (last.epochs - last.starts_after)
        seconds = (time.monotonic() - self._started) / run * left
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

    def _table(self) -> Table:
        done = sum(record.ended for record in self._records)
        table = Table(
            title=f"{self._heading()}; {done} done; {self._time_left()} left",
            title_justify="left",
        )
        for column in ("trial", "epoch", self._metric, "skips", "status"):
            table.add_column(column)
        for record in list(self._records)[-20:]:
            epoch = f"{record.epoch}/{record.job.epochs}"
            skips = record.value("genotype/skips")
            value = self._value(record).rpartition(" ")[2]
            table.add_row(
                record.job.label, epoch, value, "" if skips is None else f"{skips:g}", record.status
            )
        return table

    @staticmethod
    def _line(text: str) -> None:
        print(text, file=sys.stderr, flush=True)
