"""Ray Tune's view of a source of jobs: which trial comes next, with an id that we choose."""

from __future__ import annotations

import copy
from typing import Any

from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search import SearchAlgorithm

from tune_nas.errors import TuneNasError
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.records import Records
from tune_nas.sweep.sources import Source


class JobTrial(Trial):  # type: ignore[misc]
    """A Ray trial that is not tried again where it would only fail in the same way."""

    fails_again = False

    def handle_error(self, exc: Any = None) -> None:
        """Note whether the error is one that trying again does not cure."""
        cause = exc.cause if isinstance(exc, RayTaskError) else exc
        self.fails_again = isinstance(cause, TuneNasError) and not cause.passing
        super().handle_error(exc)

    def should_recover(self) -> bool:
        """Return whether the trial is tried again, from its newest checkpoint."""
        return not self.fails_again and bool(super().should_recover())


class JobQueue(SearchAlgorithm):  # type: ignore[misc]
    """Starts the jobs of a source as Ray trials, so many at a time.

    A `Searcher`'s trials have ids that Ray draws; ours keep theirs over a resume. And the next
    job is asked for only when there is room for it, so that Optuna knows every result by then.

    Args:
        source: Where the jobs come from.
        records: The stage's records; a job's record is created before its trial.
        concurrency: Trials at once.
    """

    def __init__(self, source: Source, records: Records, concurrency: int) -> None:
        self._source, self._records = source, records
        self._concurrency = concurrency
        self._parser = _make_parser()
        self._spec: dict[str, Any] = {}
        self._live: set[str] = set()
        self._finished = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray pickles this with the experiment, and it is never read."""
        return {}

    @property
    def total_samples(self) -> int:
        """How many trials there will be."""
        return self._source.total

    def add_configurations(self, experiments: Any) -> None:
        """Take the experiment's settings, which every trial gets."""
        experiment = experiments[0] if isinstance(experiments, list) else experiments
        self._spec = experiment.spec

    def next_trial(self) -> Any:
        """Return the next trial, or None if there is no room or no job left."""
        if self._finished or len(self._live) >= self._concurrency:
            return None
        job = self._source.next()
        if job is None:
            self._finished = True
            return None
        self._live.add(job.id)
        return self._trial(job)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note a trial's end, and tell the source."""
        self._live.discard(trial_id)
        message = "the trial failed" if error else None
        self._source.tell(self._records.end(trial_id, error=message))

    def _trial(self, job: Job) -> Any:
        record = self._records.start(job)
        spec = copy.copy(self._spec)
        spec["config"] = {
            "job": job.to_dict(),
            "resume_from": list(record.folders),
            "recorded": record.epoch,
        }
        # A folder for each session: workers of a killed one may still be writing to theirs.
        folder = f"{job.id}.{len(record.folders)}" if record.folders else job.id
        trial = _create_trial_from_spec(
            spec, self._parser, evaluated_params={}, experiment_tag=job.id, trial_id=job.id
        )
        trial.__class__ = JobTrial  # Ray's function makes a trial of Ray's own class
        trial.relative_logdir = trial.storage.trial_dir_name = folder
        record.folders.append(f"{self._records.root}/{self._records.phase}/{folder}")
        self._records.save(record)
        return trial
