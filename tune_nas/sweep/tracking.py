"""Writes MLflow runs from the records: while trials run, and everything missing at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ray.tune import Callback

from tune_nas.errors import StorageError
from tune_nas.status import Status
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.runs.checkpoints import newest_artifacts
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.records import Record, Records
from tune_nas.text import plural
from tune_nas.tracking import End, RunWriter, TrackedTrial, Tracker, TrackerSettings
from tune_nas.tracking.store import is_refusal, one_line, without_password
from tune_nas.tracking.tracked_run import TrackedRun

_logger = logging.getLogger(__name__)

# After a failure the store is not contacted for a while: each call to a lost server takes
# seconds, in which no trial would make progress.
_SILENCE_SECONDS = 30.0
_PAUSES = (0.0, 2.0, 5.0)  # seconds before each attempt to write missing data at the end


class SweepTracking:
    """Keeps the MLflow runs of a sweep in step with its records; an outage never ends the sweep.

    Failed writes are retried when the trial reports next, and in `settle`. `missing` then lists
    what the store still lacks.

    Args:
        plan: The sweep.
        settings: Settings of the store.
        phases: The records of each phase.

    Raises:
        StorageError: If the store cannot be used at the start.
    """

    def __init__(
        self, plan: Plan, settings: TrackerSettings, phases: Mapping[str, Records]
    ) -> None:
        self._phases, self.uri = phases, settings.uri
        self._tracker = settings.open()
        self.sweep_run = _open_sweep_run(self._tracker, plan)
        self._writer = RunWriter(self._tracker, self.sweep_run)
        self._silent_until = 0.0
        self._problems: dict[str, str] = {}
        self._of_sweep: list[Callable[[], None]] = []

    def update(self, records: Records, job_id: str) -> None:
        """Write the current record of a trial; return at once during a pause after a failure."""
        if time.monotonic() >= self._silent_until:
            self._write(records, records[job_id])

    def settle(self) -> None:
        """Write everything that the store lacks, including trials that it has lost meanwhile."""
        for pause in _PAUSES:
            time.sleep(pause)
            self._silent_until = 0.0
            self._check_ended()
            for records, record in self._all():
                if record.status is Status.STOPPING:
                    records.end(record.job.id)
                if not record.tracked and not self._silent:
                    self._write(records, record)
            while self._of_sweep and not self._silent:
                if not self._attempt("", self._of_sweep[0]):
                    break
                self._of_sweep.pop(0)
            if not self._silent:
                return

    def conclude(self, actions: list[Callable[[Tracker, str], None]]) -> None:
        """Write everything that is missing, then the sweep's own run.

        Args:
            actions: Functions that write the sweep's files and its end, given the tracker and run.
        """
        self._of_sweep = [lambda act=act: act(self._tracker, self.sweep_run) for act in actions]  # type: ignore[misc]
        self.settle()

    def missing(self) -> list[str]:
        """Return what could not be written yet, in one line; empty if nothing is missing."""
        known = [record for _, record in self._all()]
        lost = [record.job.id for record in known if not record.tracked]
        if not lost and not self._of_sweep:
            return []
        what = [f"{len(lost)} of {plural(len(known), 'trial')}"] if lost else []
        what += ["the sweep's own files"] if self._of_sweep else []
        reasons = [self._problems[key] for key in [*lost, ""] if key in self._problems]
        because = f" ({reasons[-1]})" if reasons else ""
        store = without_password(self.uri)
        return [f"MLflow store {store} lacks {' and '.join(what)}{because}"]

    def remarks(self) -> list[str]:
        """Return the content of trials that no MLflow store accepts, one line each."""
        return list(self._writer.remarks.values())

    @contextmanager
    def closing(self, interruption: Interruption) -> Iterator[None]:
        """Leave no run RUNNING after an interruption, or an error that ends the sweep."""
        try:
            yield
        except KeyboardInterrupt:
            by = interruption.reason
            self._close("KILLED", f"interrupted by {by}", f"interrupted by {by}; resume the sweep")
            raise
        except Exception as error:
            self._close("FAILED", "interrupted by an error of the driver", "", one_line(error))
            raise

    def _close(self, state: str, cause: str, reason: str, error: str | None = None) -> None:
        self._silent_until = 0.0
        with suppress(StorageError):  # a full disk, which has already been reported
            for records, record in self._all():
                if not self._silent and not record.tracked:
                    self._write(records, record, cause)
        if not self._silent:
            finish = self._tracker.finish
            self._attempt("", lambda: finish(self.sweep_run, state, error, reason=reason))

    @property
    def _silent(self) -> bool:
        return time.monotonic() < self._silent_until

    def _all(self) -> Iterator[tuple[Records, Record]]:
        for records in self._phases.values():
            for record in records:
                yield records, record

    def _check_ended(self) -> None:
        """Mark trials as untracked whose end is missing or different in the store.

        It may be a different store than before, or have lost its runs.
        """
        ended = [pair for pair in self._all() if pair[1].tracked]
        if not ended:
            return

        def check() -> None:
            runs: dict[str | None, list[TrackedRun]] = {}
            for run in self._tracker.runs(self.sweep_run):
                runs.setdefault(run.trial_id, []).append(run)
            for records, record in ended:
                trial = tracked_trial(record)
                if not self._writer.knows(trial, runs.get(trial.trial_id, ())):
                    records.track(record.job.id, False)

        self._attempt("", check)

    def _write(self, records: Records, record: Record, interrupted: str = "") -> None:
        parent = self._untracked_parent(record)
        if parent is not None:  # a retraining run is nested under its search, which must be there
            self._write(*parent)
            if self._silent:
                return
        trial = tracked_trial(record, interrupted)
        if self._attempt(record.job.id, lambda: self._writer.write(trial)) and record.closed:
            records.track(record.job.id, True)

    def _untracked_parent(self, record: Record) -> tuple[Records, Record] | None:
        parent = record.job.inputs.parent
        if parent is None:
            return None
        for records, other in self._all():
            if other.job.id == parent:
                return None if other.tracked else (records, other)
        return None

    def _attempt(self, what: str, action: Callable[[], Any]) -> bool:
        try:
            action()
        except Exception as error:  # MLflow's stores raise different errors; none may end the sweep
            self._writer.forget()
            if not is_refusal(error):
                self._silent_until = time.monotonic() + _SILENCE_SECONDS
            line = one_line(error)
            if self._problems.get(what) != line:
                _logger.warning("MLflow, %s: %s", what or "the sweep's run", line)
            self._problems[what] = line
            return False
        self._problems.pop(what, None)
        return True


class TrackingCallback(Callback):  # type: ignore[misc]
    """Updates MLflow on every event of a Ray trial; must come after the `Recorder`.

    Args:
        tracking: Tracking of the sweep.
        records: Records of the phase.
    """

    def __init__(self, tracking: SweepTracking, records: Records) -> None:
        self._tracking, self._records = tracking, records

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray pickles this with the experiment, but it is never read."""
        return {}

    def _update(self, iteration: int, trials: list[Any], trial: Any, *_: Any, **info: Any) -> None:
        """Write the current record of the trial."""
        self._tracking.update(self._records, trial.trial_id)

    on_trial_start = on_trial_result = on_trial_recover = _update
    on_trial_complete = on_trial_error = _update


def _open_sweep_run(tracker: Tracker, plan: Plan) -> str:
    """Return the id of the sweep's MLflow run: found and reopened, or created.

    Raises:
        StorageError: If the store fails.
    """
    try:
        return tracker.sweep_run(
            plan.sweep.name,
            plan.sweep.to_dict(),
            {"tune_nas.kind": plan.state.kind},
            identity=plan.state.identity,
        )
    except StorageError:
        raise
    except Exception as error:  # MLflow's stores raise different errors
        store = without_password(tracker.uri)
        raise StorageError(f"MLflow store {store} cannot be used: {one_line(error)}") from error


def tracked_trial(record: Record, interrupted: str = "") -> TrackedTrial:
    """Return the content of a record's run in MLflow.

    Args:
        record: The record.
        interrupted: Cause of the interruption if the trial has not ended; empty if it continues.
    """
    job = record.job
    end = None
    if record.closed:
        stopped = record.status is Status.STOPPED  # MLflow has no state for it, so a tag says it
        end = End(
            record.status.of_mlflow,
            outcome=str(record.status) if stopped else None,
            reason=record.reason,
            error=record.error,
        )
    elif interrupted:
        after = f"{interrupted} after epoch {record.epoch} of {job.epochs}; resume the sweep"
        end = End("KILLED", reason=after)
    return TrackedTrial(
        trial_id=job.id,
        phase=job.phase,
        settings=job.settings,
        space=job.trial.space.name,
        name=f"{job.phase} {job.label}",
        tags={key: str(value) for key, value in job.parameters.items()},
        failures=record.failures,
        last_error=record.last_error,
        parent=job.inputs.parent,
        parent_run=job.inputs.parent_run,
        history=record.history,
        times=record.times,
        genotype=record.genotype,
        artifacts=lambda: newest_artifacts(record.folders),
        end=end,
    )
