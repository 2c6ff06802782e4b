"""One of the processes that run a trial together, e.g. a retraining run: a Ray actor.

Imports no torch: the processes of all trials import this module, also of tasks that need none.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Mapping, Sequence

import ray

from tune_nas.learner import Learner
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray import lazy_torch
from tune_nas.sweep.ray.remote_learner import LearnerProgress, branch, checkpoint_files, restore
from tune_nas.sweep.reports_file import Report
from tune_nas.tasks import Task, find_task

FILE_ADDRESS = "file://"


class TrainingWorker:
    """A worker: its learner computes its part, e.g. of each batch.

    Args:
        job: The job.
        task: Task that builds the learner; None for the task that the job names.
        rank: Number of the worker, from 0.
        size: Number of workers.
    """

    def __init__(self, job: Job, task: Task | None, rank: int, size: int) -> None:
        self._job, self._task = job, task or find_task(job.task)
        self._rank, self._size = rank, size
        self._learner: Learner

    def node(self) -> str:
        """Return the id of its node."""
        return str(ray.get_runtime_context().get_node_id())

    def address(self, *, one_node: bool) -> str:
        """Return where all workers are to meet, as `init_process_group` takes it.

        Args:
            one_node: Whether all workers are on this node. They meet in a file then: torch's TCP
                store would listen on all network interfaces.
        """
        if one_node:
            return f"{FILE_ADDRESS}{tempfile.mkdtemp(prefix='tune-nas-workers-')}/group"
        host = ray.util.get_node_ip_address()
        with socket.socket() as free:
            free.bind((host, 0))
            return f"tcp://{host}:{free.getsockname()[1]}"

    def start(self, address: str) -> LearnerProgress:
        """Join the other workers, and build the learner.

        Raises:
            ConfigError: If the workers would have to share a GPU.
        """
        lazy_torch.process_group.join(
            self._job.trial.runtime,
            address,
            self._rank,
            self._size,
            one_machine=address.startswith(FILE_ADDRESS),
        )
        self._learner = self._task.build(self._job.trial, self._job.inputs)
        return LearnerProgress.of(self._learner)

    def run_epoch(self) -> tuple[dict[str, object], LearnerProgress]:
        """Run an epoch together with the other workers."""
        metrics = dict(self._learner.run_epoch())
        return metrics, LearnerProgress.of(self._learner)

    def files(self) -> dict[str, bytes]:
        """Return the files of a checkpoint."""
        return checkpoint_files(self._learner)

    def restore(self, files: Mapping[str, bytes]) -> LearnerProgress:
        """Resume from a checkpoint.

        Raises:
            CheckpointError: If it is damaged.
        """
        restore(self._learner, files)
        return LearnerProgress.of(self._learner)

    def branch(
        self, files: Mapping[str, bytes], reports: Sequence[Report]
    ) -> tuple[list[Report], LearnerProgress]:
        """Start from another trial's checkpoint.

        Raises:
            CheckpointError: If it is damaged, or the trials are not the same so far.
        """
        own = branch(self._learner, files, reports)
        return own, LearnerProgress.of(self._learner)
