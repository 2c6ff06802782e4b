"""The progress of a phase as text: its heading, a line for each end, a table."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.table import Table

from tune_nas.status import Status
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.tasks import find_task
from tune_nas.text import plural

_ROWS = 20  # of the table: the newest trials


class PhaseProgress:
    """Describes the progress of a phase since the driver was started.

    Args:
        records: Records of the phase.
        total: Number of trials.
        metric: Metric that ranks the sweep.
        most: Returns the most trials that there may be at present, if ends of trials decide about
            others; None if all ``total`` trials are run.
    """

    def __init__(
        self, records: Records, total: int, metric: str, most: Callable[[], int] | None = None
    ) -> None:
        self._records, self._metric = records, metric
        self._planned, self._most = total, most
        self._started = time.monotonic()
        self._epochs_before = sum(len(record.history) for record in records)
        self._done_before = self._done()

    def heading(self) -> str:
        """Return the phase and its number of trials."""
        before = f", {self._done_before} of them done before" if self._done_before else ""
        bound = "" if self._most is None else "at most "
        return f"{self._records.phase}: {bound}{plural(self._total, 'trial')}{before}"

    def decision_line(self, trial_id: str, epoch: int, decisions: str) -> str:
        """Return the decisions of an epoch of a trial."""
        record = self._records[trial_id]
        where = f"epoch {epoch}/{record.job.epochs}"
        return f"{self._records.phase} {record.job.label}: {where}: {decisions}"

    def end_line(self, trial_id: str) -> str:
        """Return how a trial ended, and the time that is left for the others."""
        record, done = self._records[trial_id], self._done()
        words = record.reason or record.status
        if record.status is Status.FINISHED:
            words += self._value(record)
        left = f"; {self.time_left()} left" if done < self._total else ""
        return f"{self._records.phase} {done}/{self._total}: {record.job.label}: {words}{left}"

    def time_left(self) -> str:
        """Return the estimated time until the end of the phase."""
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

    def table(self) -> Table:
        """Return a table of the newest trials."""
        table = Table(
            title=f"{self.heading()}; {self._done()} done; {self.time_left()} left",
            title_justify="left",
        )
        for column in ("trial", "epoch", self._metric, "skips", "status"):
            table.add_column(column)
        for record in list(self._records)[-_ROWS:]:
            epoch = f"{record.epoch}/{record.job.epochs}"
            skips = record.value("genotype/skips")
            value = self._value(record).rpartition(" ")[2]
            table.add_row(
                record.job.label, epoch, value, "" if skips is None else f"{skips:g}", record.status
            )
        return table

    @property
    def _total(self) -> int:
        return self._planned if self._most is None else self._most()

    def _done(self) -> int:
        return sum(record.ended for record in self._records)

    def _value(self, record: Record) -> str:
        metric = find_task(record.job.task).metric or self._metric
        value = record.value(metric)
        return "" if value is None else f", {metric} {value:.2f}"
