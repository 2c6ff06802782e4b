"""A trial's own process, while its search runs in one shared with others; imports no torch."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import ray
from ray.exceptions import RayActorError

from tune_nas.learner import Learner
from tune_nas.sweep.ray.remote_learner import LearnerProgress, Method, RemoteLearner, answer
from tune_nas.sweep.ray.trainable import EpochTrainable, StartWorkers
from tune_nas.sweep.reports_file import Report
from tune_nas.sweep.trial_epochs import TrialSetup
from tune_nas.tasks import Task

# Ray's reservation for a trial whose search is in another process: its own process only waits.
WAITING_CPUS = 0.001
_PATIENCE = 10.0  # seconds; a process that does not answer within them is lost
_PAUSE = 1.0  # seconds before searching for a free slot again


class Lease(NamedTuple):
    """A slot of a host, as one process of a trial holds it.

    Requests to a host may run late and in another order, and Ray stops the process of a failed
    trial while the next one starts. What names the trial alone could release the slot of the next.

    Attributes:
        trial: Id of the trial.
        token: Unique for each learner that a process of the trial makes.
    """

    trial: str
    token: str

    @classmethod
    def new(cls, trial: str) -> Lease:
        """Return a lease for a new learner of a trial."""
        return cls(trial, uuid.uuid4().hex)


class Host(Protocol):
    """The actor of a `SearchWorker`."""

    free: Method
    acquire: Method
    run_epoch: Method
    files: Method
    restore: Method
    branch: Method
    release: Method
    release_others: Method


class HostedSearch:
    """A search in the process of a host; a `RemoteProcess`.

    Args:
        host: The actor.
        lease: The slot of the search.
    """

    def __init__(self, host: Host, lease: Lease) -> None:
        self._host, self._lease = host, lease

    def run_epoch(self) -> tuple[Mapping[str, object], LearnerProgress]:
        """Run one epoch, and return its metrics and the progress."""
        found: tuple[Mapping[str, object], LearnerProgress]
        found = answer(self._host.run_epoch.remote(self._lease))
        return found

    def files(self) -> dict[str, bytes]:
        """Return the files of a checkpoint."""
        files: dict[str, bytes] = answer(self._host.files.remote(self._lease))
        return files

    def restore(self, files: dict[str, bytes]) -> LearnerProgress:
        """Resume from the files of a checkpoint, and return the progress.

        Raises:
            CheckpointError: If it is damaged.
        """
        progress: LearnerProgress = answer(self._host.restore.remote(self._lease, files))
        return progress

    def branch(
        self, files: dict[str, bytes], reports: Sequence[Report]
    ) -> tuple[list[Report], LearnerProgress]:
        """Start from the files of another trial's checkpoint; return the reports and the progress.

        Raises:
            CheckpointError: If it is damaged, or the trials are not the same so far.
        """
        found: tuple[list[Report], LearnerProgress]
        found = answer(self._host.branch.remote(self._lease, files, reports))
        return found

    def release(self) -> None:
        """Release its slot; once this returns, the slot is free."""
        ray.wait([self._host.release.remote(self._lease)], timeout=_PATIENCE)


class SharedProcessTrainable(EpochTrainable):
    """A search in a process shared with others."""

    def setup(
        self,
        config: TrialSetup,
        task: Task | None = None,
        start_workers: StartWorkers | None = None,
        hosts: Sequence[Host] = (),
    ) -> None:
        """Note the trial, as `TrialEpochs.setup`, and the processes that share their searches."""
        self._hosts = hosts
        super().setup(config, task, start_workers)

    def make_learner(self) -> Learner:
        """Return the search, in the process of the host with the most free slots.

        If there is none, because hosts are lost, wait for one.
        """
        lease = Lease.new(self._job.id)
        # a lost process of the same trial could not release its slot
        left = [host.release_others.remote(lease) for host in self._hosts]
        ray.wait(left, num_returns=len(left), timeout=_PATIENCE)
        while True:
            for host in hosts_with_free_slots(self._hosts):
                with suppress(RayActorError):  # it is lost
                    progress = answer(host.acquire.remote(self._job, lease))
                    if progress is not None:
                        return RemoteLearner(HostedSearch(host, lease), progress)
            time.sleep(_PAUSE)


def hosts_with_free_slots(hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts with free slots, the most first; lost hosts are left out."""
    asked = {host.free.remote(): host for host in hosts}
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE)
    free = []
    for reference in answered:
        with suppress(RayActorError):
            free.append((answer(reference), asked[reference]))
    free.sort(key=lambda each: -each[0])
    return [host for slots, host in free if slots > 0]
