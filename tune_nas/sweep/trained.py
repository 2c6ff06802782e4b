"""Finding the network of a retraining run by any of its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tune_nas.errors import CheckpointError, StorageError
from tune_nas.export import TrainedNetwork, load_checkpoint
from tune_nas.sweep.runs.checkpoints import first_intact, list_checkpoints
from tune_nas.sweep.runs.lookup import RunReference, find_run
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.storage import Storage


@dataclass(frozen=True)
class Trained:
    """The checkpoints of a retraining run.

    Args:
        name: NAME/TRIAL of the run; the text itself if it is a checkpoint.
        label: The name as part of a file's name.
        checkpoints: Folders or URIs, newest first.
        run: Name of the run in the storage, and the trial's id; None if a checkpoint was named.
    """

    name: str
    label: str
    checkpoints: tuple[str, ...]
    run: tuple[str, str] | None = None


def load_network(
    run: str | Path, storage: str | Path = "runs", mlflow: str | None = None
) -> TrainedNetwork:
    """Load the network of a retraining run, on the CPU, in evaluation mode.

    Args:
        run: A retraining run, or a search with one retraining run: a name in the storage, with the
            trial's id if it has several, e.g. ``lambda/retrain-00001``; the id, trial id or name of
            an MLflow run; or the folder or URI of a checkpoint.
        storage: Folder or URI in which runs are stored.
        mlflow: URI of an MLflow store; None to look into none.

    Returns:
        A module that maps normalized images to logits, with class names, normalization, image size,
        genotype and metrics attached.

    Raises:
        StorageError: If no retraining run has this name, or the storage cannot be reached.
        CheckpointError: If none of its checkpoints is intact.
    """
    return newest_network(find_trained(str(run), str(storage), mlflow))


def newest_network(trained: Trained) -> TrainedNetwork:
    """Load the newest intact checkpoint of a retraining run; warn about each damaged one.

    Raises:
        CheckpointError: If none is intact.
    """
    if len(trained.checkpoints) == 1:  # its own error says more
        return load_checkpoint(trained.checkpoints[0])
    found = first_intact(trained.checkpoints, lambda folder: load_checkpoint(str(folder)))
    if found is None:
        raise CheckpointError(
            f"'{trained.name}' has no intact checkpoint among {len(trained.checkpoints)}"
        )
    return found[1]


def find_trained(text: str, storage: str, mlflow: str | None = None) -> Trained:
    """Return the checkpoints of the retraining run that a text names; see `load_network`.

    Raises:
        StorageError: If no run or several match, or the storage cannot be reached.
    """
    found = find_run(text, storage, checkpoints=True)
    if found.checkpoints:
        return Trained(text, text.rstrip("/").rpartition("/")[2], found.checkpoints)
    records = _retraining_runs(found)
    if not records and mlflow is not None:
        try:
            found = find_run(text, storage, mlflow, retraining=True)
        except StorageError as error:
            raise StorageError(f"{_problem(found, {})}; {error}") from error
        records = _retraining_runs(found)
    if len(records) != 1:
        raise StorageError(_problem(found, records))
    ((trial_id, record),) = records.items()
    checkpoints = tuple(list_checkpoints(record.folders))
    own = found.name, trial_id
    return Trained("/".join(own), "-".join(own), checkpoints, own)


def _retraining_runs(found: RunReference) -> dict[str, Record]:
    """Return the retraining runs of the named run, of its named trial if it has one."""
    return {
        own: record
        for own, record in found.records("retrain").items()
        if not found.trial_id or found.trial_id in (own, record.job.inputs.parent)
    }


def _problem(found: RunReference, records: Mapping[str, Record]) -> str:
    root = Storage(found.storage).root
    if not records:
        return f"'{found.text}' is neither a checkpoint nor a retraining run in {root}{found.near}"
    return (
        f"'{found.text}' has {len(records)} retraining runs; name one, e.g. "
        f"{found.name}/{next(iter(records))}"
    )
