"""The artifacts in a trial's newest intact checkpoints, in local or remote storage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from tune_nas.errors import StorageError
from tune_nas.paths import CHECKPOINT, GENOTYPE
from tune_nas.sweep.runs.storage import Storage


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
    from tune_nas.checkpoint import is_state  # a local import, as it imports torch

    found: dict[str, bytes] = {}
    for storage, sums in _whole(folders):
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


def _whole(folders: Sequence[str]) -> Iterator[tuple[Storage, dict[str, str]]]:
    """Yield the checkpoints that have a manifest, newest first, with its checksums."""
    from tune_nas.checkpoint import MANIFEST

    for folder in reversed(folders):
        names = [name for name in Storage(folder).names() if name.startswith(CHECKPOINT)]
        for name in sorted(names, reverse=True):  # Ray pads their numbers with zeros
            storage = Storage(f"{folder}/{name}")
            try:
                sums = json.loads(storage.read(MANIFEST) or "")
            except (ValueError, StorageError):
                continue
            if isinstance(sums, dict):
                yield storage, sums
