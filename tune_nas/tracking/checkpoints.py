"""Reading single files of a Ray trial's newest checkpoint, on a local disk or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.tune.experiment import Trial


def read_checkpoint_file(trial: Trial, name: str) -> bytes | None:
    """Return a file of the trial's newest checkpoint, or None if either does not exist.

    Reads that file alone, so that a checkpoint on remote storage is not copied whole.
    """
    checkpoint = trial.checkpoint
    if checkpoint is None:
        return None
    try:
        with checkpoint.filesystem.open_input_stream(f"{checkpoint.path}/{name}") as stream:
            return bytes(stream.read())
    except FileNotFoundError:
        return None
