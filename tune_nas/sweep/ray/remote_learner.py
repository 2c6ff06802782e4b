"""A learner in another process; imports no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import RayTaskError

from tune_nas.checkpoint_folder import MANIFEST, files_in
from tune_nas.errors import TuneNasError
from tune_nas.files import write_atomically
from tune_nas.learner import Learner
from tune_nas.sweep.reports_file import Report
from tune_nas.sweep.sharing.branch import take


class Method(Protocol):
    """A method of an actor."""

    def remote(self, *arguments: object) -> object:
        """Call it in the process of the actor, and return a reference to its answer."""


class LearnerProgress(NamedTuple):
    """The progress of a learner."""

    epoch: int
    done: bool
    result: str | None
    remarks: dict[str, str]

    @classmethod
    def of(cls, learner: Learner) -> LearnerProgress:
        """Return the progress of a learner of this process."""
        found = learner.result()
        text = None if found is None else found.to_yaml()
        return cls(learner.epoch, learner.done, text, dict(learner.remarks()))


class _Text(NamedTuple):
    """A genotype in YAML form."""

    text: str

    def to_yaml(self) -> str:
        """Return the YAML text."""
        return self.text


class RemoteProcess(Protocol):
    """What runs a learner elsewhere: one process or several."""

    def run_epoch(self) -> tuple[Mapping[str, object], LearnerProgress]:
        """Run one epoch, and return its metrics and the progress."""

    def files(self) -> dict[str, bytes]:
        """Return the files of a checkpoint."""

    def restore(self, files: dict[str, bytes]) -> LearnerProgress:
        """Resume from the files of a checkpoint, and return the progress.

        Raises:
            CheckpointError: If it is damaged.
        """

    def branch(
        self, files: dict[str, bytes], reports: Sequence[Report]
    ) -> tuple[list[Report], LearnerProgress]:
        """Start from the files of another trial's checkpoint; return the reports and the progress.

        Raises:
            CheckpointError: If it is damaged, or the trials are not the same so far.
        """

    def release(self) -> None:
        """Release everything that the learner uses there."""


class RemoteLearner:
    """A learner in another process; a `Learner` like any other.

    Args:
        process: Runs it.
        progress: Its progress.
    """

    def __init__(self, process: RemoteProcess, progress: LearnerProgress) -> None:
        self._process, self._progress = process, progress

    def release(self) -> None:
        """Release everything that it uses in other processes."""
        self._process.release()

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
        """Return the human-readable files; `save` gets them from the other process unchanged."""
        return {}

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> dict[str, object]:
        """Run one epoch and return its metrics."""
        metrics, self._progress = self._process.run_epoch()
        return dict(metrics)

    def save(self, folder: Path) -> None:
        """Write the whole state into a folder; the manifest last, as the mark of a complete one."""
        files = self._process.files()
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda name: name == MANIFEST):
            write_atomically(folder / name, files[name])

    def load(self, folder: Path) -> None:
        """Load the state from a folder.

        Raises:
            CheckpointError: If it is damaged.
        """
        self._progress = self._process.restore(files_in(folder))

    def branch(self, folder: Path, reports: Sequence[Report]) -> list[Report]:
        """Take over the state of another trial's checkpoint, and return the reports.

        Raises:
            CheckpointError: If it is damaged, or the trials are not the same so far.
        """
        own, self._progress = self._process.branch(files_in(folder), reports)
        return own


def checkpoint_files(learner: Learner) -> dict[str, bytes]:
    """Return the files of a checkpoint of a learner of this process."""
    with tempfile.TemporaryDirectory() as name:
        learner.save(Path(name))
        return files_in(Path(name))


def restore(learner: Learner, files: Mapping[str, bytes]) -> None:
    """Resume a learner of this process from the files of a checkpoint.

    Raises:
        CheckpointError: If it is damaged.
    """
    with _folder_of(files) as folder:
        learner.load(folder)


def branch(learner: Learner, files: Mapping[str, bytes], reports: Sequence[Report]) -> list[Report]:
    """Let a learner of this process start from the files of another trial's checkpoint.

    Raises:
        CheckpointError: If it is damaged, or the trials are not the same so far.
    """
    with _folder_of(files) as folder:
        return take(learner, folder, reports)


@contextmanager
def _folder_of(files: Mapping[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file).write_bytes(content)
        yield Path(name)


def answer(reference: object) -> Any:
    """Return the answer of an actor.

    Raises:
        TuneNasError: The original error of the learner.
    """
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, TuneNasError):
            raise error.cause from None
        raise
