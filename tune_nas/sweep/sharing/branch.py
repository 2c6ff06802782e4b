"""Starting a trial from a checkpoint of another trial that is the same so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypedDict, runtime_checkable

from tune_nas.checkpoint_folder import fetched, written
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.learner import Learner
from tune_nas.sweep.reports_file import REPORTS, Report, parse_reports, read_reports
from tune_nas.sweep.runs.checkpoints import list_checkpoints
from tune_nas.sweep.runs.storage import Storage

KEPT = "kept_"
"""Prefix of the folder of a checkpoint that is kept for other trials; its epoch follows."""

_NAME = re.compile(rf"{KEPT}(\d+)")


class Branch(TypedDict):
    """Another trial from whose checkpoints a trial may start.

    Attributes:
        trial: Its id, after the name of its sweep if that is another one.
        epochs: The number of first epochs in which both are the same.
        folders: Its folders or URIs, one per session, oldest first.
        made_with: What its results depend on besides the trial; empty if that is not known.
    """

    trial: str
    epochs: int
    folders: list[str]
    made_with: str


@runtime_checkable
class Branching(Protocol):
    """A learner that can start from a checkpoint of a trial that is only the same so far."""

    def branch(self, folder: Path, reports: Sequence[Report]) -> list[Report]:
        """Take over the state of a checkpoint of another trial.

        Args:
            folder: The checkpoint.
            reports: The reports of the other trial.

        Returns:
            The reports that this learner would have made in these epochs, in order.

        Raises:
            CheckpointError: If it is damaged, or the trials are not the same so far.
        """


def kept_epoch(name: str) -> int | None:
    """Return the epoch in the name of a kept checkpoint's folder; None for any other name."""
    found = _NAME.fullmatch(name)
    return int(found.group(1)) if found else None


def is_of_other_run(trial: str) -> bool:
    """Return whether the id of a `Branch` is that of a trial of another run."""
    return "/" in trial


def keep(folder: str, epoch: int, save: Callable[[str], None]) -> None:
    """Keep a checkpoint of a trial for others, if its storage can be written.

    If it cannot, the others run these epochs themselves.

    Args:
        folder: The trial's folder or URI.
        epoch: The epoch after which it is kept.
        save: Writes the checkpoint into a local folder.
    """
    with suppress(OSError, StorageError), written(f"{folder}/{KEPT}{epoch:06d}") as local:
        local.mkdir(parents=True, exist_ok=True)
        save(str(local))


def checkpoints_of(
    branches: Sequence[Branch], epochs: range
) -> tuple[list[tuple[str, str]], dict[str, StorageError]]:
    """Return the checkpoints from which a trial may start, that of the most epochs first.

    Args:
        branches: The other trials.
        epochs: The numbers of epochs that it may have afterwards.

    Returns:
        The folder or URI of each, with the id of its trial; and the errors of the trials whose
        folders cannot be listed, by id.
    """
    found: list[tuple[int, str, str]] = []
    away: dict[str, StorageError] = {}
    for branch in branches:
        try:
            known = list(_checkpoints(branch["folders"]))
        except StorageError as error:
            away[branch["trial"]] = error
            continue
        found += [
            (epoch, path, branch["trial"])
            for epoch, path in known
            if epoch is not None and epoch in epochs and epoch <= branch["epochs"]
        ]
    found.sort(key=lambda each: -each[0])
    return [(path, trial) for _, path, trial in found], away


def start_from(learner: Learner, checkpoint: str) -> list[Report]:
    """Let a new learner take over the state of another trial's checkpoint; return its reports.

    Raises:
        CheckpointError: If it is damaged, or the trials are not the same so far.
        StorageError: If it cannot be reached.
    """
    with fetched(checkpoint) as folder:
        reports = take(learner, folder, read_reports(folder))
    if reports[-1]["epoch"] != learner.epoch:
        raise CheckpointError(f"{checkpoint}: its results are not those of its state")
    return reports


def take(learner: Learner, folder: Path, reports: Sequence[Report]) -> list[Report]:
    """Let a new learner take over the state in a local folder; return its reports.

    Raises:
        CheckpointError: If it is damaged, or the trials are not the same so far.
    """
    if isinstance(learner, Branching):
        return learner.branch(folder, reports)
    learner.load(folder)
    return list(reports)


def _checkpoints(folders: Sequence[str]) -> Iterator[tuple[int | None, str]]:
    """Yield the checkpoints of a trial, each with its epoch; None if that is not known."""
    for folder in reversed(folders):
        for name in Storage(folder).names():
            yield kept_epoch(name), f"{folder}/{name}"
    for path in list_checkpoints(folders):
        yield _last_epoch(path), path


def _last_epoch(checkpoint: str) -> int | None:
    """Return the last epoch of a checkpoint; None if its results cannot be read."""
    with suppress(ValueError, StorageError):
        return int(parse_reports(Storage(checkpoint).read(REPORTS) or "")[-1]["epoch"])
    return None
