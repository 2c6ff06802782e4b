"""Running the jobs of one phase as a Ray Tune experiment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from ray import tune
from ray.tune.error import TuneError

from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phase_runner import PhaseRunner
from tune_nas.sweep.phases import Phase, task_in, workers_of
from tune_nas.sweep.progress_display import display_of
from tune_nas.sweep.ray.callbacks import InterruptionCallback, Recorder, TrackingCallback
from tune_nas.sweep.ray.cluster import searches_per_process, trials_at_once
from tune_nas.sweep.ray.driver_callback import DriverCallback
from tune_nas.sweep.ray.progress import ProgressCallback
from tune_nas.sweep.ray.queue import JobQueue
from tune_nas.sweep.ray.scheduler import make_scheduler
from tune_nas.sweep.ray.search_worker import hosting
from tune_nas.sweep.ray.shared_process import WAITING_CPUS, SharedProcessTrainable
from tune_nas.sweep.ray.trainable import EpochTrainable
from tune_nas.sweep.ray.worker_group import start_workers, trial_resources
from tune_nas.sweep.result_recorder import ResultRecorder
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stop_requests import StopRequests
from tune_nas.sweep.sources import Source
from tune_nas.sweep.sweep_objectives import needed_metrics
from tune_nas.sweep.trial_epochs import CHECKPOINTS_KEPT


class RayPhaseRunner(PhaseRunner):
    """Runs the trials of a phase on Ray."""

    @contextmanager
    def _trainable(self, task: str, options: RunOptions, at_once: int) -> Iterator[object]:
        """Provide the trainable of the jobs and their shared processes within the block.

        Args:
            task: Name of their task.
            options: Where and how trials run.
            at_once: Number of concurrent trials.
        """
        own = self._tasks.get(task)
        if not options.shares_processes:
            trainable = tune.with_parameters(EpochTrainable, task=own, start_workers=start_workers)
            resources = partial(trial_resources, task=own, cpus=options.cpus, gpus=options.gpus)
            yield tune.with_resources(trainable, resources)
            return
        together = searches_per_process(options)
        with hosting(at_once, together, options.cpus, options.gpus, own) as hosts:
            hosted = tune.with_parameters(SharedProcessTrainable, hosts=hosts)
            yield tune.with_resources(hosted, {"CPU": WAITING_CPUS, "GPU": 0})

    def _run(self, phase: Phase, source: Source, records: Records) -> None:
        sweep, options = self._plan.sweep, self._options
        trials = [trial for _, _, trial in self._plan.resolved.trials]
        if not all(task_in(phase, trial, self._tasks).shares_process for trial in trials):
            options = replace(options, together=None)
        requests = StopRequests(self._plan.storage)
        scheduler = make_scheduler(
            sweep if phase.early_stopping else None,
            task_in(phase, self._plan.bases.first, {}).epochs(self._plan.bases.first),
            records,
            requests,
        )
        at_once = trials_at_once(
            options, workers_of(self._plan, phase, self._tasks, options.workers)
        )
        display = display_of(self._plan, phase, records, source, options)
        callbacks: list[DriverCallback] = [
            Recorder(ResultRecorder(records, *needed_metrics(sweep), requests=requests)),
            TrackingCallback(self._tracking, records),
            InterruptionCallback(self._interruption, display),
        ]
        if display is not None:
            callbacks.append(ProgressCallback(display))
        with self._trainable(phase.task, options, min(at_once, source.total)) as trainable:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=JobQueue(source, records, at_once, options.workers, self._reuse),
                    scheduler=scheduler,
                    # The next trial reuses the process of the last one: starting one takes seconds.
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=phase.name,
                    storage_path=self._plan.storage.root,
                    checkpoint_config=tune.CheckpointConfig(
                        num_to_keep=CHECKPOINTS_KEPT,
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
                self._interruption.check()  # Ray may have replaced it by another error
                if not isinstance(error, TuneError):
                    raise
                # the driver's own error; Ray has converted it to text, with its traceback
                raise (error.__context__ or error) from None
            finally:
                if display is not None:
                    display.close()
