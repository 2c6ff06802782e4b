"""One process for several trials: their searches run their passes as one.

Each trial keeps its own Ray trainable, which reports, checkpoints and is stopped like any other;
its search runs in a thread of a shared process. If such a process is lost with its node, its
trials wait for a free slot in another one, and resume there from their checkpoints.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.exceptions import RayActorError, RayTaskError

from tune_nas.checkpoint_folder import MANIFEST
from tune_nas.errors import TuneNasError
from tune_nas.files import write_atomically
from tune_nas.learner import Learner
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.ray.trainable import EpochTrainable
from tune_nas.tasks import Task, find_task

if TYPE_CHECKING:  # a trial's own process does not need torch
    from tune_nas.search.together import Together

# Ray's reservation for a trial whose search is in another process: its own process only waits.
WAITING_CPUS = 0.001
_PATIENCE = 10.0  # seconds; a process that does not answer within them is lost
_PAUSE = 1.0  # seconds before searching for a free slot again
# Between two epochs a trial reports and checkpoints. If that takes longer (seconds), its own
# process was lost, and could not release the slot.
_LONGEST_PAUSE = 600.0


class LearnerProgress(NamedTuple):
    """The progress of a search."""

    epoch: int
    done: bool
    result: str | None
    remarks: dict[str, str]


class SearchWorker:
    """The searches of one process; a Ray actor with one thread per search.

    Args:
        slots: Maximum number of concurrent searches.
        task: Task that builds the searches; None for the task that a job names.
    """

    def __init__(self, slots: int, task: Task | None = None) -> None:
        self._slots, self._task = slots, task
        self._lock = threading.Lock()
        self._together: Together | None = None
        self._searches: dict[str, Learner] = {}
        self._threads = 1  # of a trial
        self._used: dict[str, float] = {}  # by slot: time of last use; infinite while in use

    def free(self) -> int:
        """Return the number of free slots."""
        with self._lock:
            for trial, used in list(self._used.items()):
                if time.monotonic() - used > _LONGEST_PAUSE:
                    self._release(trial)
            return self._slots - len(self._used)

    def acquire(self, job: Job) -> LearnerProgress | None:
        """Build the search of a job, in the slot that its trial may have had before.

        Returns:
            Its progress; None if no slot is free.
        """
        from tune_nas.runtime import resolve_device
        from tune_nas.search.graphs import capture_for
        from tune_nas.search.together import Together

        runtime = job.trial.runtime
        with self._lock:  # searches that start together must take part in the same passes
            self._release(job.id)
            if len(self._used) >= self._slots:
                return None
            self._used[job.id] = math.inf
            self._threads = runtime.threads
            if self._together is None:
                self._together = Together(capture_for(runtime, resolve_device(runtime.device)))
        try:
            with self._using(job.id):
                task = self._task or find_task(job.task)
                self._searches[job.id] = task.build(job.trial, job.inputs, self._together)
                return self._progress(job.id)
        except BaseException:
            self.release(job.id)
            raise

    def run_epoch(self, trial: str) -> tuple[dict[str, Any], LearnerProgress]:
        """Run an epoch of a trial's search, together with those of other trials."""
        import torch

        search = self._searches[trial]
        assert self._together is not None
        torch.set_num_threads(self._slots * self._threads)
        with self._using(trial), self._together.attended():
            metrics = dict(search.run_epoch())
        return metrics, self._progress(trial)

    def files(self, trial: str) -> dict[str, bytes]:
        """Return the checkpoint files of a trial's search."""
        with self._using(trial), tempfile.TemporaryDirectory() as name:
            self._searches[trial].save(Path(name))
            return {path.name: path.read_bytes() for path in Path(name).iterdir()}

    def restore(self, trial: str, files: Mapping[str, bytes]) -> LearnerProgress:
        """Resume a trial's search from a checkpoint.

        Raises:
            CheckpointError: If it is damaged.
        """
        with self._using(trial), tempfile.TemporaryDirectory() as name:
            for file, content in files.items():
                (Path(name) / file).write_bytes(content)
            self._searches[trial].load(Path(name))
        return self._progress(trial)

    def release(self, trial: str) -> None:
        """Remove a trial's search and release its slot."""
        with self._lock:
            self._release(trial)

    def _release(self, trial: str) -> None:
        self._searches.pop(trial, None)
        self._used.pop(trial, None)

    @contextmanager
    def _using(self, trial: str) -> Iterator[None]:
        """Keep a trial's slot within the block, however long that takes."""
        self._note_use(trial, math.inf)
        try:
            yield
        finally:
            self._note_use(trial, time.monotonic())

    def _note_use(self, trial: str, when: float) -> None:
        with self._lock:
            if trial in self._used:  # it may have been released meanwhile
                self._used[trial] = when

    def _progress(self, trial: str) -> LearnerProgress:
        search = self._searches[trial]
        found = search.result()
        text = None if found is None else found.to_yaml()
        return LearnerProgress(search.epoch, search.done, text, dict(search.remarks()))


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

    def __init__(self, host: Any, trial: str, progress: LearnerProgress) -> None:
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

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> dict[str, Any]:
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
        self, config: dict[str, Any], task: Task | None = None, hosts: Sequence[Any] = ()
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


def hosts_with_free_slots(hosts: Sequence[Any]) -> list[Any]:
    """Return the hosts with free slots, the most first; lost hosts are left out."""
    asked = {host.free.remote(): host for host in hosts}
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE)
    free = []
    for answer in answered:
        with suppress(RayActorError):
            free.append((_of(answer), asked[answer]))
    free.sort(key=lambda each: -each[0])
    return [host for slots, host in free if slots > 0]


@contextmanager
def hosting(
    slots: int, together: int, cpus: float, gpus: float, task: Task | None = None
) -> Iterator[list[Any]]:
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


def _of(reference: Any) -> Any:
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
