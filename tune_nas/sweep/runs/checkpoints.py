"""The checkpoints of a trial: listed newest first, and the first intact one."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tune_nas.checkpoint_folder import MANIFEST, fetched, is_state
from tune_nas.errors import CheckpointError, StorageError
from tune_nas.paths import CHECKPOINT, GENOTYPE
from tune_nas.sweep.runs.storage import Storage

Loaded = TypeVar("Loaded")

_NAME = re.compile(rf"{CHECKPOINT}(\d+)")


def number_of(name: str) -> int | None:
    """Return the number in the name of a checkpoint's folder; None for any other name."""
    found = _NAME.fullmatch(name)
    return int(found.group(1)) if found else None


def list_checkpoints(folders: Sequence[str], before: int | None = None) -> Iterator[str]:
    """Yield the checkpoints of a trial, newest first; each folder is listed when it is reached.

    Args:
        folders: The trial's folders or URIs, one per session of the sweep, oldest first.
        before: Only those with smaller numbers; None for all.

    Raises:
        StorageError: If a folder cannot be listed.
    """
    for folder in reversed(folders):
        numbers = {name: number_of(name) for name in Storage(folder).names()}
        known = {
            name: number
            for name, number in numbers.items()
            if number is not None and (before is None or number < before)
        }
        for name in sorted(known, key=known.__getitem__, reverse=True):
            yield f"{folder}/{name}"


def _warn(error: CheckpointError) -> None:
    """Warn that a checkpoint was skipped."""
    warnings.warn(f"skipped a checkpoint: {error}", stacklevel=2)


def first_intact(
    checkpoints: Iterable[str],
    load: Callable[[Path], Loaded],
    skipped: Callable[[CheckpointError], None] = _warn,
) -> tuple[str, Loaded] | None:
    """Return the first checkpoint that can be loaded, with its content; None if there is none.

    Args:
        checkpoints: Folders or URIs, in the order in which they are tried; a URI is fetched.
        load: Loads a local folder; its CheckpointError marks the checkpoint as damaged.
        skipped: Called with the error of each damaged checkpoint; warns of it by default.

    Raises:
        StorageError: If a checkpoint cannot be reached, which says nothing about it.
    """
    for checkpoint in checkpoints:
        try:
            with fetched(checkpoint) as folder:
                return checkpoint, load(folder)
        except CheckpointError as error:
            skipped(error)
    return None


def newest_artifacts(folders: Sequence[str]) -> dict[str, bytes]:
    """Return the artifacts of a trial: all files but its state and its genotype.

    Files are read one by one, so that the state in a remote storage is not copied. If the SHA-256
    sum of a file differs from that in the manifest, it is damaged; that of the previous checkpoint
    is then used.

    Args:
        folders: The trial's folders, one per session of the sweep, oldest first.

    Returns:
        The content of each file, by name.
    """
    found: dict[str, bytes] = {}
    for checkpoint in list_checkpoints(folders):
        storage = Storage(checkpoint)
        sums = _checksums(storage)
        for name in sums.keys() - found.keys() - {GENOTYPE}:
            if is_state(name):
                continue
            try:
                content = storage.read_bytes(name)
            except StorageError:
                continue
            if content is not None and hashlib.sha256(content).hexdigest() == sums[name]:
                found[name] = content
    return dict(sorted(found.items()))


def _checksums(checkpoint: Storage) -> dict[str, str]:
    """Return the checksums in a checkpoint's manifest; empty without a readable manifest."""
    try:
        sums = json.loads(checkpoint.read(MANIFEST) or "")
    except (ValueError, StorageError):
        return {}
    return sums if isinstance(sums, dict) else {}
