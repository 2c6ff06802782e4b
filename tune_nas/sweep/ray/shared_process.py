"""A trial's own process, while its search runs in one shared with others; imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import RayActorError, RayTaskError

from tune_nas.checkpoint_folder import MANIFEST
from tune_nas.errors import TuneNasError
from tune_nas.files import write_atomically
from tune_nas.learner import Learner
from tune_nas.sweep.ray.trainable import EpochTrainable, TrialSetup
from tune_nas.tasks import Task

# Ray's reservation for a trial whose search is in another process: its own process only waits.
WAITING_CPUS = 0.001
_PATIENCE = 10.0  # seconds; a process that does not answer within them is lost
_PAUSE = 1.0  # seconds before searching for a free slot again


class Method(Protocol):
    """A method of an actor."""

    def remote(self, *arguments: object) -> object:
        """Call it in the process of the actor, and return a reference to its answer."""


class Host(Protocol):
    """The actor of a `SearchWorker`."""

    free: Method
    acquire: Method
    run_epoch: Method
    files: Method
    restore: Method
    release: Method


class LearnerProgress(NamedTuple):
    """The progress of a search."""

    epoch: int
    done: bool
    result: str | None
    remarks: dict[str, str]


class _Text(NamedTuple):
    """A genotype in YAML form."""

    text: str

    def to_yaml(self) -> str:
        """Return the YAML text."""
        return self.text


class RemoteSearch:
    """A search in the process of a host; a `Learner` like any other.

    Args:
        host: The actor.
        trial: Id of the search's trial.
        progress: Its progress.
    """

    def __init__(self, host: Host, trial: str, progress: LearnerProgress) -> None:
        self._host, self._trial, self._progress = host, trial, progress

    @property
    def epoch(self) -> int:
        """Number of completed epochs."""
        return self._progress.epoch

    @property
    def done(self) -> bool:
        """Whether the last epoch has run."""
        return self._progress.done

    def result(self) -> _Text | None:
        """Return the current genotype."""
        found = self._progress.result
        return None if found is None else _Text(found)

    def remarks(self) -> dict[str, str]:
        """Return remarks on the last epoch."""
        return self._progress.remarks

    def artifacts(self) -> dict[str, str]:
        """Return the human-readable files; `save` gets them from the host unchanged."""
        return {}

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> dict[str, object]:
        """Run one epoch and return its metrics."""
        metrics, self._progress = _of(self._host.run_epoch.remote(self._trial))
        return dict(metrics)

    def save(self, folder: Path) -> None:
        """Write the whole state into a folder; the manifest last, as the mark of a complete one."""
        files: dict[str, bytes] = _of(self._host.files.remote(self._trial))
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda name: name == MANIFEST):
            write_atomically(folder / name, files[name])

    def load(self, folder: Path) -> None:
        """Load the state from a folder.

        Raises:
            CheckpointError: If it is damaged.
        """
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        self._progress = _of(self._host.restore.remote(self._trial, files))

    def release(self) -> None:
        """Release its slot; once this returns, the slot is free."""
        ray.wait([self._host.release.remote(self._trial)], timeout=_PATIENCE)


class SharedProcessTrainable(EpochTrainable):
    """A search in a process shared with others."""

    def setup(
        self, config: TrialSetup, task: Task | None = None, hosts: Sequence[Host] = ()
    ) -> None:
        """Take a slot at the host with the most free slots, and start or resume there.

        If there is none, because hosts are lost, wait for one.
        """
        self.cleanup()
        self._hosts = hosts
        super().setup(config, task)

    def make_learner(self) -> Learner:
        """Return the search, in its host's process."""
        # a lost process of the same trial could not release its slot
        left = [host.release.remote(self._job.id) for host in self._hosts]
        ray.wait(left, num_returns=len(left), timeout=_PATIENCE)
        while True:
            for host in hosts_with_free_slots(self._hosts):
                with suppress(RayActorError):  # it is lost
                    progress = _of(host.acquire.remote(self._job))
                    if progress is not None:
                        return RemoteSearch(host, self._job.id, progress)
            time.sleep(_PAUSE)

    def cleanup(self) -> None:
        """Release the slot."""
        learner = getattr(self, "_learner", None)
        if isinstance(learner, RemoteSearch):
            learner.release()


def hosts_with_free_slots(hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts with free slots, the most first; lost hosts are left out."""
    asked = {host.free.remote(): host for host in hosts}
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE)
    free = []
    for answer in answered:
        with suppress(RayActorError):
            free.append((_of(answer), asked[answer]))
    free.sort(key=lambda each: -each[0])
    return [host for slots, host in free if slots > 0]


def _of(reference: object) -> Any:
    """Return the answer of a host.

    Raises:
        TuneNasError: The original error of the search.
    """
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, TuneNasError):
            raise error.cause from None
        raise
