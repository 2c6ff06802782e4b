"""The progress of a phase as text: its heading, a line for each end, a table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from rich.table import Table

from tune_nas.status import Status
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.tasks import find_task
from tune_nas.text import duration_text, plural

_ROWS = 20  # of the table: the newest trials
_NAMED = 4  # trials named in a line


class PhaseProgress:
    """Describes the progress of a phase since the driver was started.

    Args:
        records: Records of the phase.
        total: Number of trials.
        metric: Metric that ranks the sweep.
        mode: ``max`` or ``min``, what is best of that metric.
        place: Number of the phase and number of all phases of the sweep, from 1.
        most: Returns the maximum number of trials so far, if results decide which others run;
            None if all ``total`` trials are run.
        ahead: Returns the number of epochs of the trials that have not started; None if each is as
            long as the newest one.
        clock: Returns a time in seconds.
    """

    def __init__(
        self,
        records: Records,
        total: int,
        metric: str,
        *,
        mode: str = "max",
        place: tuple[int, int] = (1, 1),
        most: Callable[[], int] | None = None,
        ahead: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records, self._metric = records, metric
        self._planned, self._most, self._ahead = total, most, ahead
        self._mode, self._place, self._clock = mode, place, clock
        self._started = clock()
        self._epochs_before = sum(record.epochs_run for record in records)
        self._done_before = self._done()

    def heading(self) -> str:
        """Return the phase, its place among the phases, and its number of trials."""
        number, phases = self._place
        which = f" (phase {number} of {phases})" if phases > 1 else ""
        before = f", {self._done_before} of them done before" if self._done_before else ""
        bound = "" if self._most is None else "at most "
        return f"{self._records.phase}{which}: {bound}{plural(self._total, 'trial')}{before}"

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
            words += _value(record, self._metric)
        left = f"; {self.time_left()} left" if done < self._total else ""
        return f"{self._records.phase} {done}/{self._total}: {record.job.label}: {words}{left}"

    def time_left(self) -> str:
        """Return the estimated time until the end of the phase."""
        run = sum(record.epochs_run for record in self._records) - self._epochs_before
        if run == 0:
            return "…"
        known = list(self._records)
        left = sum(record.epochs_left for record in known)
        if self._ahead is not None:
            left += self._ahead()
        elif known:
            last = known[-1].job
            left += (self._total - len(known)) * (last.epochs - last.starts_after)
        return duration_text(self._elapsed() / run * left)

    def running_line(self) -> str:
        """Return how far the running trials are, the best value and the times."""
        now = [f"{r.job.label} {_epochs(r)}" for r in self._records if r.status is Status.RUNNING]
        more = f" and {len(now) - _NAMED} more" if len(now) > _NAMED else ""
        running = f"{', '.join(now[:_NAMED])}{more}; " if now else ""
        return f"{self._records.phase} {self._done()}/{self._total}: {running}{self._summary()}"

    def stopping_line(self) -> str:
        """Return where the running trials will resume after a signal."""
        now = [record for record in self._records if record.status is Status.RUNNING]
        if not now:
            return "stopping"
        after = [
            f"after epoch {record.epoch}" if record.epoch else "at the start" for record in now
        ]
        more = f" and {len(now) - _NAMED} more" if len(now) > _NAMED else ""
        return (
            f"stopping: {plural(len(now), 'trial')}, to resume from the last checkpoints: "
            f"{', '.join(after[:_NAMED])}{more}"
        )

    def table(self) -> Table:
        """Return a table of the newest trials."""
        table = Table(
            title=f"{self.heading()}; {self._done()} done; {self._summary()}",
            title_justify="left",
        )
        for column in ("trial", "epoch", self._metric, "skips", "status"):
            table.add_column(column)
        for record in list(self._records)[-_ROWS:]:
            skips = record.value("genotype/skips")
            value = _value(record, self._metric).rpartition(" ")[2]
            table.add_row(
                record.job.label,
                _epochs(record),
                value,
                "" if skips is None else f"{skips:g}",
                record.status,
            )
        return table

    @property
    def _total(self) -> int:
        return self._planned if self._most is None else self._most()

    def _done(self) -> int:
        return sum(record.ended for record in self._records)

    def _elapsed(self) -> float:
        return self._clock() - self._started

    def _summary(self) -> str:
        """Return the best value so far, the elapsed time and the time that is left."""
        best = _best(self._records, self._metric, self._mode)
        named = "" if best is None else f"best{_value(best, self._metric).removeprefix(',')} "
        whose = "" if best is None else f"({best.job.label}); "
        return f"{named}{whose}{duration_text(self._elapsed())} elapsed; {self.time_left()} left"


def _best(records: Iterable[Record], metric: str, mode: str) -> Record | None:
    """Return the trial with the best last value; None before any has one."""
    known = [record for record in records if math.isfinite(_number(record, metric))]
    choose = min if mode == "min" else max
    return choose(known, key=lambda record: _number(record, metric), default=None)


def _number(record: Record, metric: str) -> float:
    value = record.value(_metric_of(record, metric))
    return math.nan if value is None else value


def _metric_of(record: Record, metric: str) -> str:
    """Return the metric of a trial's task, or that of the sweep if the task has none."""
    return find_task(record.job.task).metric or metric


def _value(record: Record, metric: str) -> str:
    value = record.value(_metric_of(record, metric))
    return "" if value is None else f", {_metric_of(record, metric)} {value:.2f}"


def _epochs(record: Record) -> str:
    return f"{record.epoch}/{record.job.epochs}"
