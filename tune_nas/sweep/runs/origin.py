"""Finding the checkpoint of a finished search by any of its names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tune_nas import library
from tune_nas.checkpoint import load_state
from tune_nas.checkpoint_folder import fetched
from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.paths import absolute
from tune_nas.search.search import STATE_FILE
from tune_nas.sweep.runs.checkpoints import first_intact, list_checkpoints
from tune_nas.sweep.runs.lookup import RunReference, find_run
from tune_nas.sweep.runs.storage import Storage


@dataclass(frozen=True)
class Origin:
    """A checkpoint of a search.

    Args:
        checkpoint: Its folder: an absolute path, or a URI if the storage is remote.
        trial: The search's trial.
    """

    checkpoint: str
    trial: TrialConfig


def find_origin(text: str, storage: str, mlflow: str | None = None) -> Origin:
    """Return the newest checkpoint of a search.

    Args:
        text: The folder or URI of a checkpoint, or of a trial's checkpoints; or a search, as
            `find_run` accepts it.
        storage: Folder or URI in which runs are stored.
        mlflow: URI of an MLflow store; None to look into none.

    Raises:
        StorageError: If no search has this name, or the storage cannot be reached.
        CheckpointError: If none of its checkpoints is intact.
    """
    found = find_run(text, storage, mlflow, checkpoints=True)
    load = partial(load_state, name=STATE_FILE)
    if found.checkpoints == (text,):
        with fetched(text) as folder:
            checkpoint, state = text, load(folder)
    else:
        checkpoint, state = _newest(_checkpoints(found), load)
    try:
        trial = library.stored_trial(state["trial"], checkpoint)
    except KeyError as error:
        raise CheckpointError(f"{checkpoint}: made by another version: {error!r}") from error
    return Origin(absolute(checkpoint), trial)


def _checkpoints(found: RunReference) -> list[str]:
    """Return the checkpoints of the search that a reference names, newest first."""
    if found.checkpoints:
        return list(found.checkpoints)
    if found.tracked is not None and found.tracked.phase == "retrain":
        raise StorageError(f"run '{found.text}' is a retrain, which has no supernet; name a search")
    if found.record is None:
        root = Storage(found.storage).root
        raise StorageError(
            f"'{found.text}' is neither a checkpoint nor a search in {root}{found.near}"
        )
    if found.record.job.trial.strategy is not None:
        raise StorageError(
            f"run '{found.text}' is a black-box search, which has no supernet; name a "
            "differentiable search"
        )
    return list(list_checkpoints(found.record.folders))


def _newest(
    checkpoints: list[str], load: Callable[[Path], dict[str, object]]
) -> tuple[str, dict[str, object]]:
    """Return the first intact checkpoint with its state; warn about each damaged one."""
    newest = first_intact(checkpoints, load)
    if newest is None:
        where = checkpoints[0].rpartition("/")[0] if checkpoints else "here"
        raise CheckpointError(f"no whole checkpoint among the {len(checkpoints)} in {where}")
    return newest
