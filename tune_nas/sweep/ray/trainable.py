"""Ray Tune's trainable: one step is one epoch of a learner."""

from __future__ import annotations

import os
from collections.abc import Callable

from ray.tune import Trainable

from tune_nas.errors import StorageError, TuneNasError
from tune_nas.learner import Learner
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.remote_learner import RemoteLearner
from tune_nas.sweep.trial_epochs import TrialEpochs, TrialSetup
from tune_nas.tasks import Task, find_task

StartWorkers = Callable[[Job, Task | None, int], Learner]
"""Starts a number of workers for a job, and returns the learner that drives them."""


class EpochTrainable(TrialEpochs, Trainable):  # type: ignore[misc]
    """`TrialEpochs` as Ray runs them, in this process or in several workers.

    Use ``epoch`` in the metrics, not Ray's ``training_iteration``: epochs may be repeated.

    Its config is a `TrialSetup`.
    """

    def make_learner(self) -> Learner:
        """Return the learner of the trial's job, in this process or in several workers."""
        task = self._task or find_task(self._job.task)
        n_workers = task.workers(self._job.trial)
        if n_workers > 1 and self._start_workers is not None:
            return self._start_workers(self._job, self._task, n_workers)
        return super().make_learner()

    def setup(
        self,
        config: TrialSetup,
        task: Task | None = None,
        start_workers: StartWorkers | None = None,
    ) -> None:
        """Note the trial, as `TrialEpochs.setup`.

        Args:
            config: The trial, and where it continues.
            task: Task that builds the learner; None for the task that the job names.
            start_workers: Starts the workers of a job with several; None to run each job here.
        """
        self._start_workers = start_workers
        super().setup(config, task)

    def reset_config(self, new_config: TrialSetup) -> bool:
        """Switch to another trial, in the existing process."""
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Release what the learner uses in other processes."""
        learner = getattr(self, "_learner", None)
        if isinstance(learner, RemoteLearner):
            learner.release()
            del self._learner

    def save(self, checkpoint_dir: str | None = None) -> object:
        """Save a checkpoint and copy it to the storage.

        Raises:
            StorageError: If either cannot be written; names the file or the storage.
        """
        try:
            return super().save(checkpoint_dir)
        except TuneNasError:
            raise
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            storage = self._storage.trial_fs_path if self._storage else checkpoint_dir
            where = error.filename or storage
            raise StorageError(f"checkpoint cannot be written: {where}: {reason}") from error
