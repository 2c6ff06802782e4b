"""Running one stage's jobs as a Ray Tune experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tune_nas.sweep.callbacks import InterruptionCallback, Progress, Recorder
from tune_nas.sweep.cluster import searches_per_process, trials_at_once
from tune_nas.sweep.host import WAITING_CPUS, HostedTrainable, hosting
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.plan import Plan
from tune_nas.sweep.queue import JobQueue
from tune_nas.sweep.records import Job, Records
from tune_nas.sweep.scheduler import make_scheduler
from tune_nas.sweep.sources import ListSource, OptunaSource, Source
from tune_nas.sweep.tracking import SweepTracking, TrackingCallback
from tune_nas.sweep.trainable import EpochTrainable, RetrainTrainable, SearchTrainable

_STUDY = "optuna.db"
_CHECKPOINTS_KEPT = 2


@dataclass(frozen=True)
class Trainables:
    """The classes that run the jobs."""

    search: type[EpochTrainable] = SearchTrainable
    retrain: type[EpochTrainable] = RetrainTrainable

    def of(self, stage: str) -> type[EpochTrainable]:
        """Return the class that runs a stage's jobs."""
        return self.retrain if stage == "retrain" else self.search


class StageRunner:
    """Runs stages of one sweep, each to the end of all of its jobs.

    Args:
        plan: The sweep.
        options: Where and how.
        trainables: What runs the jobs.
        tracking: Its MLflow runs.
        interruption: Raised between two steps of Ray.
    """

    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        trainables: Trainables,
        tracking: SweepTracking,
        interruption: Interruption,
    ) -> None:
        self._plan, self._options, self._trainables = plan, options, trainables
        self._tracking, self._interruption = tracking, interruption

    def run_list(self, stage: str, jobs: Sequence[Job], records: Records) -> None:
        """Run jobs that are known beforehand; those that have ended are not run again."""
        missing = any(records.get(job.id) is None for job in jobs)
        if missing or not all(record.ended for record in records):
            self._run(stage, ListSource(jobs, records), records)

    def run_drawn(self, records: Records) -> None:
        """Run searches whose parameters Optuna draws."""
        if len(records) == self._plan.sweep.n_drawn and all(record.ended for record in records):
            return
        local = self._plan.storage.local
        if local is not None:
            # The records rebuild the study; a damaged or half-written file is of no consequence.
            for leftover in local.glob(f"{_STUDY}*"):
                leftover.unlink()
        url = None if local is None else f"sqlite:///{local / _STUDY}"
        source = OptunaSource(self._plan.sweep, self._plan.bases, records, url)
        self._run("search", source, records)

    @contextmanager
    def _trainable(self, stage: str, options: RunOptions, at_once: int) -> Iterator[Any]:
        """Have what runs a stage's jobs while the block lasts, and the processes that they share.

        Args:
            stage: The stage.
            options: Where and how.
            at_once: Trials at a time.
        """
        from ray import tune

        if not options.shares_processes:
            resources = {"CPU": options.cpus, "GPU": options.gpus}
            yield tune.with_resources(self._trainables.of(stage), resources)
            return
        together = searches_per_process(options)
        with hosting(at_once, together, cpus=options.cpus, gpus=options.gpus) as hosts:
            hosted = tune.with_parameters(HostedTrainable, hosts=hosts)
            yield tune.with_resources(hosted, {"CPU": WAITING_CPUS, "GPU": 0})

    def _run(self, stage: str, source: Source, records: Records) -> None:
        from ray import tune
        from ray.tune.error import TuneError

        from tune_nas.search import total_epochs

        sweep, options = self._plan.sweep, self._options
        if stage == "retrain":  # searches alone share processes
            options = replace(options, together=None)
        at_once = trials_at_once(options)
        callbacks: list[Any] = [
            Recorder(records, sweep.search_metric),
            TrackingCallback(self._tracking, records),
            InterruptionCallback(self._interruption),
        ]
        progress = None
        if not options.quiet:
            progress = Progress(records, source.total, sweep.search_metric, live=options.live)
            callbacks.append(progress)
        with self._trainable(stage, options, min(at_once, source.total)) as trainable:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=JobQueue(source, records, at_once),
                    scheduler=make_scheduler(
                        sweep, stage, total_epochs(self._plan.bases.first), records
                    ),
                    # The next trial takes over the process of the last: starting one costs seconds.
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=stage,
                    storage_path=self._plan.storage.root,
                    checkpoint_config=tune.CheckpointConfig(
                        num_to_keep=_CHECKPOINTS_KEPT,
                        checkpoint_frequency=1,
                        checkpoint_at_end=True,
                    ),
                    failure_config=tune.FailureConfig(max_failures=options.max_failures),
                    callbacks=callbacks,
                    verbose=0,
                ),
            )
            try:
                with self._interruption.deferred():
                    tuner.fit()
            except Exception as error:
                self._interruption.check()  # Ray may have made another error of it
                if not isinstance(error, TuneError):
                    raise
                # what went wrong in the driver; Ray has made a text of it, with its traceback
                raise (error.__context__ or error) from None
            finally:
                if progress is not None:
                    progress.close()
