"""Small files of a trial's newest whole checkpoint, wherever the storage is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from tune_nas.errors import StorageError
from tune_nas.sweep.storage import Storage

_PREFIX = "checkpoint_"


def newest_files(folders: Sequence[str]) -> Callable[[str], bytes | None]:
    """Return a function that reads a file of a trial's newest whole checkpoint by name.

    Files are read singly, so that a checkpoint in remote storage is not copied whole. One whose
    SHA-256 sum is not the manifest's is damaged; the previous checkpoint is then used.

    Args:
        folders: The trial's folders, one per session of the sweep, oldest first.

    Returns:
        A function of a file's name; it returns None if no checkpoint has that file intact.
    """
    checkpoints: list[tuple[Storage, dict[str, str]]] | None = None

    def read(name: str) -> bytes | None:
        nonlocal checkpoints
        if checkpoints is None:
            checkpoints = _whole(folders)
        for storage, sums in checkpoints:
            try:
                content = storage.read_bytes(name) if name in sums else None
            except StorageError:
                continue
            if content is not None and hashlib.sha256(content).hexdigest() == sums.get(name):
                return content
        return None

    return read


def _whole(folders: Sequence[str]) -> list[tuple[Storage, dict[str, str]]]:
    """Return the checkpoints that have a manifest, newest first, with the sums in it."""
    from tune_nas.checkpoint import MANIFEST  # here, as it imports torch

    found = []
    for folder in reversed(folders):
        names = [name for name in Storage(folder).names() if name.startswith(_PREFIX)]
        for name in sorted(names, reverse=True):  # Ray pads their numbers with zeros
            storage = Storage(f"{folder}/{name}")
            try:
                sums = json.loads(storage.read(MANIFEST) or "")
            except (ValueError, StorageError):
                continue
            if isinstance(sums, dict):
                found.append((storage, sums))
    return found
