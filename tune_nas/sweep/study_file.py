"""The study that is written for inspection, e.g. with Optuna Dashboard; nothing reads it back."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tune_nas.status import Status
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.optuna_objectives import directions
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.study_axes import axis_of
from tune_nas.sweep.sweep_objectives import search_objectives

_logger = logging.getLogger(__name__)

Values = Sequence[float] | None
"""The value of each objective; None for a trial that failed or diverged."""


class StudyFile:
    """A study in a database, with a trial for each search and its value after each epoch.

    Its trials have the numbers of the searches. A trial that failed or diverged is FAIL, one that
    was stopped early is PRUNED. If the database cannot be written, a warning is logged and the
    sweep continues without it.

    Args:
        sweep: The sweep; its name is that of the study.
        url: Optuna storage URL; the database must not have the study yet.
    """

    def __init__(self, sweep: SweepConfig, url: str) -> None:
        self._metrics = [objective.key for objective in search_objectives(sweep)]
        self._axes = {key: axis_of(parameter) for key, parameter in sweep.parameters.items()}
        self._trials: dict[str, int] = {}  # ids in the storage, by those of the jobs
        self._ok = True
        with self._writing():
            self._storage = optuna.storages.get_storage(url)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=sweep.name,
                directions=directions(sweep),
                sampler=optuna.samplers.RandomSampler(),
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names(self._metrics)
            self._id = self._storage.get_study_id_from_name(sweep.name)
            for key, axis in self._axes.items():
                if axis.infinity is not None:
                    self._study.set_user_attr(key, f"{axis.infinity:g} stands for inf")

    def add(self, records: Iterable[tuple[Record, Values]]) -> None:
        """Add the trials of an earlier session, in their order."""
        for record, values in records:
            if not record.ended:
                self.start(record.job)
            elif self._ok:
                with self._writing():
                    self._study.add_trial(self._ended(record, values))

    def start(self, job: Job) -> None:
        """Add a trial that has started.

        It is given to the storage as a whole: asking the study for it takes several transactions.
        """
        if not self._ok:
            return
        with self._writing():
            trial = self._frozen(job, TrialState.RUNNING, datetime_start=datetime.now())
            self._trials[job.id] = self._storage.create_new_trial(self._id, trial)

    def end(self, record: Record, values: Values) -> None:
        """Write the end of a trial, and its value after each epoch."""
        if not self._ok:
            return
        with self._writing():
            trial = self._trials.pop(record.job.id)
            for epoch, value in self._curve(record).items():
                self._storage.set_trial_intermediate_value(trial, epoch, value)
            for key, text in _reason(record).items():
                self._storage.set_trial_user_attr(trial, key, text)
            state = _state(record, values)
            self._storage.set_trial_state_values(trial, state, self._final(record, values))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            self._ok = False
            reason = " ".join(str(error.__cause__ or error).split())
            _logger.warning("optuna.db is not written any more; a resume rebuilds it: %s", reason)

    def _ended(self, record: Record, values: Values) -> FrozenTrial:
        seconds = record.history[0].get("seconds", 0.0) if record.history else 0.0
        times = record.times or [0.0]
        return self._frozen(
            record.job,
            _state(record, values),
            values=self._final(record, values),
            datetime_start=datetime.fromtimestamp(times[0] - seconds),
            datetime_complete=datetime.fromtimestamp(times[-1]),
            user_attrs={**self._attributes(record.job), **_reason(record)},
            intermediate_values=self._curve(record),
        )

    def _frozen(self, job: Job, state: TrialState, **known: object) -> FrozenTrial:
        """Return a trial of the study; the study numbers it."""
        given: dict[str, object] = {
            **{"number": -1, "trial_id": -1, "state": state, "value": None, "values": None},
            **{"datetime_start": None, "datetime_complete": None},
            "params": self._params(job),
            "distributions": {key: self._axes[key].distribution for key in job.parameters},
            "user_attrs": self._attributes(job),
            **{"system_attrs": {}, "intermediate_values": {}},
        }
        return FrozenTrial(**{**given, **known})

    def _final(self, record: Record, values: Values) -> Values:
        """Return the values of a trial: of one that was stopped early, that of its last epoch."""
        state, curve = _state(record, values), self._curve(record)
        if state is TrialState.PRUNED and curve and len(self._metrics) == 1:
            return [curve[max(curve)]]
        return values if state is TrialState.COMPLETE else None

    def _params(self, job: Job) -> dict[str, object]:
        return {key: self._axes[key].of(value) for key, value in job.parameters.items()}

    def _attributes(self, job: Job) -> dict[str, object]:
        """Return the trial's id and seed, and the keys that are inf, for which a number stands."""
        infinite = {
            key: "inf"
            for key, value in job.parameters.items()
            if value == math.inf and self._axes[key].infinity is not None
        }
        return {"trial_id": job.id, "seed": job.seed, **infinite}

    def _curve(self, record: Record) -> dict[int, float]:
        """Return the finite values by epoch; none of several objectives, which Optuna rejects."""
        if len(self._metrics) > 1:
            return {}
        values = {int(row["epoch"]): row.get(self._metrics[0]) for row in record.history}
        return {
            epoch: value
            for epoch, value in values.items()
            if value is not None and math.isfinite(value)
        }


def _state(record: Record, values: Values) -> TrialState:
    if values is None:
        return TrialState.FAIL
    return TrialState.COMPLETE if record.status is Status.FINISHED else TrialState.PRUNED


def _reason(record: Record) -> dict[str, object]:
    return {"reason": record.reason} if record.reason else {}
