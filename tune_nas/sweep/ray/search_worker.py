"""One process for several trials: their searches run their passes as one.

Each trial keeps its own Ray trainable, which reports, checkpoints and is stopped like any other;
its search runs in a thread of a shared process. If such a process is lost with its node, its
trials wait for a free slot in another one, and resume there from their checkpoints.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import ray
import torch

from tune_nas.errors import StorageError
from tune_nas.learner import Learner
from tune_nas.runtime import resolve_device
from tune_nas.search.capture import capture_for
from tune_nas.search.together import Together
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.remote_learner import LearnerProgress, branch, checkpoint_files, restore
from tune_nas.sweep.ray.shared_process import WAITING_CPUS, Host, Lease
from tune_nas.sweep.reports_file import Report
from tune_nas.tasks import Task, find_task

# Between two epochs a trial reports and checkpoints. If that takes longer (seconds), its own
# process was lost, and could not release the slot.
_LONGEST_PAUSE = 600.0


class SearchWorker:
    """The searches of one process; a Ray actor with one thread per search.

    Args:
        slots: Maximum number of concurrent searches.
        task: Task that builds the searches; None for the task that a job names.
    """

    def __init__(self, slots: int, task: Task | None = None) -> None:
        self._slots, self._task = slots, task
        self._lock = threading.RLock()
        self._together: Together | None = None
        self._searches: dict[Lease, Learner] = {}
        self._threads = 1  # of a trial
        self._used: dict[Lease, float] = {}  # time of last use; infinite while in use

    def free(self) -> int:
        """Return the number of free slots."""
        with self._lock:
            for lease, used in list(self._used.items()):
                if time.monotonic() - used > _LONGEST_PAUSE:
                    self.release(lease)
            return self._slots - len(self._used)

    def acquire(self, job: Job, lease: Lease) -> LearnerProgress | None:
        """Build the search of a job, in the slot that its trial may have had before.

        Args:
            job: The job.
            lease: How its process names the slot from now on.

        Returns:
            Its progress; None if no slot is free.
        """
        runtime = job.trial.runtime
        with self._lock:  # searches that start together must take part in the same passes
            self.release_others(lease)
            if len(self._used) >= self._slots:
                return None
            self._used[lease] = math.inf
            self._threads = runtime.threads
            if self._together is None:
                self._together = Together(capture_for(runtime, resolve_device(runtime.device)))
        try:
            with self._using(lease):
                task = self._task or find_task(job.task)
                search = task.build(job.trial, job.inputs, self._together)
                with self._lock:
                    if lease in self._used:  # it may have been released meanwhile
                        self._searches[lease] = search
                return LearnerProgress.of(search)
        except BaseException:
            self.release(lease)
            raise

    def run_epoch(self, lease: Lease) -> tuple[dict[str, object], LearnerProgress]:
        """Run an epoch of a trial's search, together with those of other trials.

        Raises:
            StorageError: If the slot was released; here and in the methods below.
        """
        search = self._search(lease)
        assert self._together is not None
        torch.set_num_threads(self._slots * self._threads)
        with self._using(lease), self._together.attended():
            metrics = dict(search.run_epoch())
        return metrics, LearnerProgress.of(search)

    def files(self, lease: Lease) -> dict[str, bytes]:
        """Return the checkpoint files of a trial's search."""
        search = self._search(lease)
        with self._using(lease):
            return checkpoint_files(search)

    def restore(self, lease: Lease, files: Mapping[str, bytes]) -> LearnerProgress:
        """Resume a trial's search from a checkpoint.

        Raises:
            CheckpointError: If it is damaged.
        """
        search = self._search(lease)
        with self._using(lease):
            restore(search, files)
        return LearnerProgress.of(search)

    def branch(
        self, lease: Lease, files: Mapping[str, bytes], reports: Sequence[Report]
    ) -> tuple[list[Report], LearnerProgress]:
        """Start a trial's search from another trial's checkpoint.

        Raises:
            CheckpointError: If it is damaged, or the trials are not the same so far.
        """
        search = self._search(lease)
        with self._using(lease):
            own = branch(search, files, reports)
        return own, LearnerProgress.of(search)

    def release(self, lease: Lease) -> None:
        """Remove a trial's search and release its slot."""
        with self._lock:
            self._searches.pop(lease, None)
            self._used.pop(lease, None)

    def release_others(self, lease: Lease) -> None:
        """Release the slots of other processes of the trial: they are lost, or being stopped."""
        with self._lock:
            for other in list(self._used):
                if other.trial == lease.trial and other != lease:
                    self.release(other)

    @contextmanager
    def _using(self, lease: Lease) -> Iterator[None]:
        """Keep a trial's slot within the block, however long that takes."""
        self._note_use(lease, math.inf)
        try:
            yield
        finally:
            self._note_use(lease, time.monotonic())

    def _note_use(self, lease: Lease, when: float) -> None:
        with self._lock:
            if lease in self._used:  # it may have been released meanwhile
                self._used[lease] = when

    def _search(self, lease: Lease) -> Learner:
        with self._lock:
            if lease in self._searches:
                return self._searches[lease]
        raise StorageError(
            f"the slot of trial {lease.trial} was released, as another process of the trial took "
            f"its place or none was heard of for {_LONGEST_PAUSE:.0f} s; a retry takes a new slot"
        )


@contextmanager
def hosting(
    slots: int, together: int, cpus: float, gpus: float, task: Task | None = None
) -> Iterator[list[Host]]:
    """Provide processes for a number of trials within the block.

    Args:
        slots: Number of concurrent trials.
        together: Maximum number of trials per process.
        cpus: CPUs of a trial.
        gpus: GPUs of a trial.
        task: Task that builds the searches; None for the task that a job names.
    """
    sizes = [min(together, slots - first) for first in range(0, slots, together)]
    hosts = [
        ray.remote(SearchWorker)
        .options(
            num_cpus=size * max(cpus - WAITING_CPUS, 0.0),
            num_gpus=size * gpus,
            max_concurrency=2 * size + 2,  # an epoch of each, and requests meanwhile
            max_restarts=-1,
        )
        .remote(size, task)
        for size in sizes
    ]
    try:
        yield hosts
    finally:
        for host in hosts:
            ray.kill(host)
