"""The training states of candidates that pause: folders beside the checkpoints of a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory

from tune_nas.checkpoint_folder import fetched, remove_folder, written
from tune_nas.errors import CheckpointError
from tune_nas.retrain import Retrain

FOLDER = "candidates"
"""Name of the folder with the states, in a trial's folder."""


class CandidateStates:
    """The states of candidates after their jobs: written once, read when a candidate continues.

    Each is a folder in the format of a checkpoint, ``candidates/NUMBER-EPOCHS``. A state that is
    missing or damaged costs time alone: the candidate is trained again, with the same result.

    Args:
        folders: The trial's folders or URIs, one per session, oldest first; states are written to
            the last. Without any, they are kept in a temporary folder.
    """

    def __init__(self, folders: Sequence[str] = ()) -> None:
        self._temporary = None if folders else TemporaryDirectory(prefix="tune-nas-candidates-")
        own = list(folders) if self._temporary is None else [self._temporary.name]
        self._folders = [f"{folder}/{FOLDER}" for folder in own]

    def save(self, candidate: int, training: Retrain) -> None:
        """Write the state of a candidate after a job.

        Raises:
            StorageError: If it cannot be written.
        """
        with written(f"{self._folders[-1]}/{_name(candidate, training.epoch)}") as folder:
            training.save(folder)

    def load(self, candidate: int, epochs: int, build: Callable[[], Retrain]) -> Retrain | None:
        """Return the training of a candidate after some epochs; None without an intact state.

        Args:
            candidate: Its number.
            epochs: Epochs for which it has been trained.
            build: Returns its training from scratch.

        Raises:
            StorageError: If a state cannot be reached.
        """
        for root in reversed(self._folders):
            try:
                with fetched(f"{root}/{_name(candidate, epochs)}") as folder:
                    if not folder.is_dir():
                        continue
                    training = build()  # for each: a load that fails halfway leaves traces
                    training.load(folder)
            except CheckpointError:
                continue
            if training.epoch == epochs:
                return training
        return None

    def remove(self, candidate: int, epochs: int) -> None:
        """Remove the state of a candidate after some epochs, as far as possible."""
        for root in self._folders:
            remove_folder(f"{root}/{_name(candidate, epochs)}")

    def clear(self) -> None:
        """Remove all states, as far as possible."""
        for root in self._folders:
            remove_folder(root)


def _name(candidate: int, epochs: int) -> str:
    return f"{candidate:05d}-{epochs}"
