"""Writes MLflow runs from the records: while trials run, and everything missing at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from tune_nas.errors import StorageError
from tune_nas.status import Status
from tune_nas.sweep.best_network import log_best_network
from tune_nas.sweep.extension import extent
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.runs.checkpoints import newest_artifacts
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.store_attempts import StoreAttempts
from tune_nas.text import plural
from tune_nas.tracking import (
    End,
    Experiment,
    MlflowTracker,
    RunReader,
    RunWriter,
    TrackedTrial,
    Tracker,
)
from tune_nas.tracking.shared_view import prepare_view
from tune_nas.tracking.store import is_refusal, one_line, without_password
from tune_nas.tracking.tracked_run import SWEEP_RUN, TrackedRun, tracked_run

EXTENDED = "tune_nas.extended"
"""The tag with the current extent of a sweep that was extended."""
_PAUSES = (0.0, 2.0, 5.0)  # seconds before each attempt to write missing data at the end


class SweepTracking:
    """Keeps the MLflow runs of a sweep in step with its records; an outage never ends the sweep.

    Failed writes are retried when the trial reports next, and in `settle`. `missing` then lists
    what the store still lacks.

    Args:
        plan: The sweep.
        uri: MLflow tracking URI of the store.
        phases: The records of each phase.

    Raises:
        StorageError: If the store cannot be used at the start.
    """

    def __init__(self, plan: Plan, uri: str, phases: Mapping[str, Records]) -> None:
        self._plan, self._phases, self.uri = plan, phases, uri
        self._experiment = experiment = Experiment(uri)
        self._tracker, self._reader = MlflowTracker(experiment), RunReader(experiment)
        self.sweep_run = _open_sweep_run(self._tracker, plan, uri)
        self._writer = RunWriter(self._tracker, self._reader, self.sweep_run)
        self._attempts = StoreAttempts(self._writer.forget)
        self._of_sweep: list[Callable[[], None]] = []

    def update(self, records: Records, job_id: str) -> None:
        """Write the current record of a trial; return at once during a pause after a failure."""
        if not self._attempts.paused:
            self._write(records, records[job_id])

    def settle(self) -> None:
        """Write everything that the store lacks, including trials that it has lost meanwhile."""
        for pause in _PAUSES:
            time.sleep(pause)
            self._attempts.resume()
            self._check_ended()
            for records, record in self._all():
                if record.status is Status.STOPPING:
                    records.end(record.job.id)
                if not record.tracked and not self._attempts.paused:
                    self._write(records, record)
            while self._of_sweep and not self._attempts.paused:
                if not self._attempts.attempt("", self._of_sweep[0]):
                    break
                self._of_sweep.pop(0)
            if not self._attempts.paused:
                return

    def conclude(self, actions: list[Callable[[Tracker, str], None]]) -> None:
        """Write everything that is missing, then the sweep's own run.

        Args:
            actions: Functions that write the sweep's files and its end, given the tracker and run.
        """
        self._of_sweep = [lambda act=act: act(self._tracker, self.sweep_run) for act in actions]  # type: ignore[misc]
        view = partial(_prepare_view, self._experiment, self._reader, self.sweep_run)
        self._of_sweep.insert(0, view)  # before the run is closed
        if self._plan.state.options.get("log_model"):
            known = (self._experiment, self.sweep_run, self._plan, self._phases)
            self._of_sweep.insert(0, partial(log_best_network, *known))
        self.settle()

    def missing(self) -> list[str]:
        """Return what could not be written yet, in one line; empty if nothing is missing."""
        known = [record for _, record in self._all()]
        lost = [record.job.id for record in known if not record.tracked]
        if not lost and not self._of_sweep:
            return []
        what = [f"{len(lost)} of {plural(len(known), 'trial')}"] if lost else []
        what += ["the sweep's own files"] if self._of_sweep else []
        reason = self._attempts.reason([*lost, ""])
        because = f" ({reason})" if reason else ""
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
        self._attempts.resume()
        with suppress(StorageError):  # a full disk, which has already been reported
            for records, record in self._all():
                if not self._attempts.paused and not record.tracked:
                    self._write(records, record, cause)
        if not self._attempts.paused:
            finish = self._tracker.finish
            self._attempts.attempt("", lambda: finish(self.sweep_run, state, error, reason=reason))

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
            for run in self._experiment.iterate({SWEEP_RUN: self.sweep_run}):
                # without what takes most of its memory
                own = replace(tracked_run(run), parameters={}, metrics={}, tags={})
                runs.setdefault(own.trial_id, []).append(own)
            for records, record in ended:
                trial = tracked_trial(record)
                if not self._writer.knows(trial, runs.get(trial.trial_id, ())):
                    _mark(records, record, tracked=False)

        self._attempts.attempt("", check)

    def _write(self, records: Records, record: Record, interrupted: str = "") -> None:
        parent = self._untracked_parent(record)
        if parent is not None:  # a retraining run is nested under its search, which must be there
            self._write(*parent)
            if self._attempts.paused:
                return
        trial = tracked_trial(record, interrupted)
        if (
            self._attempts.attempt(record.job.id, lambda: self._writer.write(trial))
            and record.closed
        ):
            _mark(records, record, tracked=True)

    def _untracked_parent(self, record: Record) -> tuple[Records, Record] | None:
        parent = record.job.inputs.parent
        if parent is None:
            return None
        for records, other in self._all():
            if other.job.id == parent:
                return None if other.tracked else (records, other)
        return None


def _prepare_view(experiment: Experiment, reader: RunReader, sweep_run: str) -> None:
    """Write a sweep's view of MLflow's UI, unless the store refuses such tags."""
    try:
        prepare_view(experiment, reader.read_run(sweep_run))
    except Exception as error:  # MLflow's stores raise different errors
        if not is_refusal(error):
            raise


def _mark(records: Records, record: Record, *, tracked: bool) -> None:
    """Record whether MLflow has the end of a trial."""
    with records.changing(record.job.id):
        record.tracked = tracked


def _open_sweep_run(tracker: Tracker, plan: Plan, uri: str) -> str:
    """Return the id of the sweep's MLflow run: found and reopened, or created.

    Raises:
        StorageError: If the store fails.
    """
    try:
        run_id = tracker.sweep_run(
            plan.sweep.name,
            plan.sweep.to_dict(),
            {"tune_nas.kind": plan.state.kind},
            identity=plan.state.identity,
            data=next(iter(plan.bases.trials.values())).to_dict()["data"],
        )
        if plan.state.extended:  # MLflow refuses to change the parameters of a run
            tracker.set_tags(run_id, {EXTENDED: extent(plan.sweep)})
        return run_id
    except StorageError:
        raise
    except Exception as error:  # MLflow's stores raise different errors
        store = without_password(uri)
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
        name=job.run_name,
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
