"""Ray Tune's view of a source of jobs: the next trial, with a fixed id."""

from __future__ import annotations

import copy
from typing import Any

from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search import SearchAlgorithm

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.endings import fails_again
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sharing.finished_trials import Reuse
from tune_nas.sweep.sources import Source
from tune_nas.sweep.trial_session import begin_session


class JobTrial(Trial):  # type: ignore[misc]
    """A Ray trial that is not retried if it would only fail in the same way."""

    fails_again = False

    def handle_error(self, exc: object = None) -> None:
        """Note whether a retry would not cure the error."""
        cause = exc.cause if isinstance(exc, RayTaskError) else exc
        self.fails_again = fails_again(cause)
        super().handle_error(exc)

    def should_recover(self) -> bool:
        """Return whether the trial is retried from its newest checkpoint."""
        return not self.fails_again and bool(super().should_recover())


class JobQueue(SearchAlgorithm):  # type: ignore[misc]
    """Starts the jobs of a source as Ray trials, with limited concurrency.

    The trials of a `Searcher` get random ids from Ray; ours keep their ids over a resume. And the
    next job is requested only when there is room for it, so that Optuna then knows every result.

    Args:
        source: Source of the jobs.
        records: Records of the phase; a job's record is created before its trial.
        concurrency: Maximum number of concurrent trials.
        workers: Number of workers instead of those of the trials; None for those.
        reuse: What they take over from finished trials of other runs; None for nothing.
    """

    def __init__(
        self,
        source: Source,
        records: Records,
        concurrency: int,
        workers: int | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        self._source, self._records = source, records
        self._concurrency, self._workers, self._reuse = concurrency, workers, reuse
        self._parser = _make_parser()
        self._spec: dict[str, object] = {}
        self._live: set[str] = set()
        self._finished = False

    def __getstate__(self) -> dict[str, object]:
        """Leave everything out: Ray pickles this with the experiment, but it is never read."""
        return {}

    @property
    def total_samples(self) -> int:
        """Total number of trials."""
        return self._source.total

    def add_configurations(self, experiments: Any) -> None:
        """Store the experiment's settings, which apply to every trial."""
        experiment = experiments[0] if isinstance(experiments, list) else experiments
        self._spec = experiment.spec

    def next_trial(self) -> object:
        """Return the next trial, or None if there is no room or no job is left."""
        if self._finished or len(self._live) >= self._concurrency:
            return None
        job = self._source.next()
        if job is None:
            self._finished = not (self._source.waits and self._live)
            return None
        self._live.add(job.id)
        return self._trial(job)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, object] | None = None, error: bool = False
    ) -> None:
        """Handle the end of a trial, and notify the source."""
        self._live.discard(trial_id)
        message = "the trial failed" if error else None
        self._source.tell(self._records.end(trial_id, error=message))

    def _trial(self, job: Job) -> object:
        name, setup = begin_session(
            self._records, job, self._workers, self._source.sharing, self._reuse
        )
        spec = copy.copy(self._spec)
        spec["config"] = setup
        trial = _create_trial_from_spec(
            spec, self._parser, evaluated_params={}, experiment_tag=job.id, trial_id=job.id
        )
        trial.__class__ = JobTrial  # Ray's function creates a trial of Ray's class
        trial.relative_logdir = trial.storage.trial_dir_name = name
        return trial
