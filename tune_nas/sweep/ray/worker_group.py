"""The workers of one trial in several processes, which it drives like a single learner."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import ray
from ray.tune import PlacementGroupFactory
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.remote_learner import LearnerProgress, Method, RemoteLearner, answer
from tune_nas.sweep.ray.training_worker import FILE_ADDRESS, TrainingWorker
from tune_nas.sweep.reports_file import Report
from tune_nas.tasks import Task, find_task


class _Worker(Protocol):
    """The actor of a `TrainingWorker`."""

    node: Method
    address: Any  # has a keyword
    start: Method
    run_epoch: Method
    files: Method
    restore: Method
    branch: Method


class WorkerGroup:
    """The learner of a job in several processes, in the placement group of its trial.

    A `RemoteProcess`.

    If a worker is lost, the others are ended, and the epoch fails.

    Args:
        job: The job.
        task: Task that builds the learners; None for the task that the job names.
        size: Number of workers, one for each bundle of the placement group.
    """

    def __init__(self, job: Job, task: Task | None, size: int) -> None:
        self._address = ""
        group = ray.util.get_current_placement_group()
        self._workers: list[_Worker] = [
            ray.remote(TrainingWorker)
            .options(
                num_cpus=group.bundle_specs[rank].get("CPU", 0),
                num_gpus=group.bundle_specs[rank].get("GPU", 0),
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=rank
                ),
            )
            .remote(job, task, rank, size)
            for rank in range(size)
        ]

    def start(self) -> LearnerProgress:
        """Let the workers join each other and build their learners; return the progress."""
        nodes = self._answers(worker.node.remote() for worker in self._workers)
        one_node = len(set(nodes)) == 1
        (self._address,) = self._answers([self._workers[0].address.remote(one_node=one_node)])
        started = self._answers(worker.start.remote(self._address) for worker in self._workers)
        return cast(LearnerProgress, started[0])

    def run_epoch(self) -> tuple[Mapping[str, object], LearnerProgress]:
        """Run one epoch, and return its metrics and the progress."""
        found = self._answers(worker.run_epoch.remote() for worker in self._workers)
        return cast(tuple[Mapping[str, object], LearnerProgress], found[0])

    def files(self) -> dict[str, bytes]:
        """Return the files of a checkpoint; the first worker has the state of all."""
        return cast(dict[str, bytes], answer(self._workers[0].files.remote()))

    def restore(self, files: dict[str, bytes]) -> LearnerProgress:
        """Resume all workers from the files of a checkpoint, and return the progress.

        Raises:
            CheckpointError: If it is damaged.
        """
        stored = ray.put(files)
        found = self._answers(worker.restore.remote(stored) for worker in self._workers)
        return cast(LearnerProgress, found[0])

    def branch(
        self, files: dict[str, bytes], reports: Sequence[Report]
    ) -> tuple[list[Report], LearnerProgress]:
        """Start all workers from the files of another trial's checkpoint.

        Raises:
            CheckpointError: If it is damaged, or the trials are not the same so far.
        """
        stored = ray.put(files)
        found = self._answers(worker.branch.remote(stored, reports) for worker in self._workers)
        return cast(tuple[list[Report], LearnerProgress], found[0])

    def release(self) -> None:
        """End the workers, and remove the file in which they met on this machine."""
        for worker in self._workers:
            ray.kill(worker)
        if self._address.startswith(FILE_ADDRESS):
            folder = Path(self._address.removeprefix(FILE_ADDRESS)).parent
            shutil.rmtree(folder, ignore_errors=True)

    def _answers(self, references: Iterable[object]) -> list[Any]:
        """Return the answers of all workers, or end them and raise the first error.

        The others may wait for a worker that has failed, and Ray does not clean up after a trial
        that fails.
        """
        pending = asked = list(references)
        try:
            while pending:
                ready, pending = ray.wait(pending)
                answer(ready[0])
        except BaseException:
            self.release()
            raise
        return [answer(each) for each in asked]


def start_workers(job: Job, task: Task | None, size: int) -> RemoteLearner:
    """Return the learner of a job in several workers; see `WorkerGroup`."""
    group = WorkerGroup(job, task, size)
    return RemoteLearner(group, group.start())


def trial_resources(
    config: Mapping[str, Any], *, task: Task | None, cpus: float, gpus: float
) -> PlacementGroupFactory:
    """Return what Ray reserves for a trial: for each of its workers, or for its only process.

    Args:
        config: The config of its trainable, a `TrialSetup`.
        task: Its task; None for the task that the job names.
        cpus: CPUs of a process.
        gpus: GPUs of a process.
    """
    job = Job.from_dict(config["job"])
    n = (task or find_task(job.task)).workers(job.trial)
    bundles = [{"CPU": cpus, "GPU": gpus} for _ in range(n)]
    # The trainable drives its workers, and needs nothing itself.
    return PlacementGroupFactory(bundles if n == 1 else [{}, *bundles])
