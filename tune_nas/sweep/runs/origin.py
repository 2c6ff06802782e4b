"""Finding the checkpoint of a finished search by any of its names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_nas import library
from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.paths import CHECKPOINT, absolute, expanded, is_folder, is_uri
from tune_nas.sweep.runs.records import FOLDER, Record, Records
from tune_nas.sweep.runs.storage import Storage

_PHASES = ("search", "repeat")


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
        text: The folder or URI of a checkpoint, or of a trial's checkpoints; the name of a run in
            the storage, with the trial's id if it has several, e.g. ``lambda/search-00003``; or
            the id, trial id or name of an MLflow run.
        storage: Folder or URI in which runs are stored.
        mlflow: URI of an MLflow store; None to look into none.

    Raises:
        StorageError: If no search has this name, or the storage cannot be reached.
        CheckpointError: If none of its checkpoints is intact.
    """
    from tune_nas.checkpoint import fetched, load_state, newest_intact
    from tune_nas.search.search import STATE_FILE

    names = _names(text)
    if STATE_FILE in names:
        checkpoint = text
        with fetched(text) as folder:
            state = load_state(folder, name=STATE_FILE)
    else:
        folders = _checkpoints(text, names) or _newest(_record(text, storage, mlflow))
        checkpoint, state = newest_intact(folders, name=STATE_FILE)
    try:
        trial = library.stored_trial(state["trial"], f"{checkpoint}")
    except KeyError as error:
        raise CheckpointError(f"{checkpoint}: made by another version: {error!r}") from error
    return Origin(absolute(checkpoint), trial)


def find_record(text: str, root: str, *, retrained: bool = False) -> Record | None:
    """Return the named search of a storage, e.g. ``lambda/search-00003``; None if not found.

    Args:
        text: Name of a run, with the trial's id if it has several.
        root: The storage.
        retrained: Whether to return a retraining run if no search has that name.

    Raises:
        StorageError: If the named run has several searches, or the storage cannot be reached.
    """
    name, _, trial_id = text.partition("/")
    storage = Storage(root).within(name)
    records = _records(storage, _PHASES)
    if retrained and (not records or trial_id.startswith("retrain")):
        records = _records(storage, ("retrain",))
    if not records:
        if storage.names(f"analysis/{FOLDER}"):
            raise StorageError(f"'{name}' is the analysis of a search; name the search itself")
        return None
    if not trial_id and len(records) == 1:
        return next(iter(records.values()))
    if trial_id not in records:
        none = f", none of which is '{trial_id}'" if trial_id else ""
        raise StorageError(
            f"'{name}' has {len(records)} searches{none}; name one, as {name}/{next(iter(records))}"
        )
    return records[trial_id]


def _names(folder: str) -> list[str]:
    """Return the names in a folder or under a URI; empty if the folder does not exist."""
    there = is_uri(folder) or is_folder(expanded(folder))
    return Storage(folder).names() if there else []


def _record(text: str, root: str, mlflow: str | None) -> Record:
    """Return the record of the named search, from the storage or MLflow."""
    found = find_record(text, root)
    if found is None and mlflow is not None:
        found = find_record("/".join(_of_mlflow(text, mlflow)), root)
    if found is None:
        raise StorageError(f"'{text}' is neither a checkpoint nor a search in {Storage(root).root}")
    return found


def _records(storage: Storage, phases: Sequence[str]) -> dict[str, Record]:
    """Return the records of some phases in the folder of a run."""
    found: dict[str, Record] = {}
    for phase in phases:
        if storage.names(f"{phase}/{FOLDER}"):
            found |= {record.job.id: record for record in Records(storage, phase)}
    return found


def _of_mlflow(text: str, uri: str) -> tuple[str, str]:
    """Return the sweep name and trial id of an MLflow run."""
    from tune_nas.tracking import Tracker

    run = Tracker(uri, create=False).find_run(text)
    if run.phase == "retrain":
        raise StorageError(f"run '{text}' is a retrain, which has no supernet; name a search")
    if run.phase == "analysis":
        raise StorageError(f"run '{text}' is the analysis of a search; name the search itself")
    return run.sweep, run.trial_id or ""


def _newest(record: Record) -> list[str]:
    """Return the checkpoints of the last session of a trial that has any."""
    sessions = (_checkpoints(folder, _names(folder)) for folder in reversed(record.folders))
    return next(filter(None, sessions), [])


def _checkpoints(folder: str, names: Sequence[str]) -> list[str]:
    """Return the checkpoints in a folder with such names."""
    return [f"{folder}/{name}" for name in names if name.startswith(CHECKPOINT)]
