"""State files of a search or a retrain: atomic, checksummed, safe to load.

A checkpoint is a folder. Every file in it is written under a temporary name, synced and renamed;
``manifest.json``, written last, holds their SHA-256 sums, so that a folder which was cut short or
damaged later is recognised. State holds plain containers and tensors alone: it is read with
``weights_only=True``, which runs no code.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tune_nas.errors import CheckpointError
from tune_nas.files import write_atomically
from tune_nas.paths import expanded, is_uri

MANIFEST = "manifest.json"


def is_state(name: str) -> bool:
    """Return whether a file of a checkpoint is its state, rather than a text beside it."""
    return name.endswith(".pt")


def save_state(
    folder: Path,
    state: Mapping[str, Any],
    *,
    name: str,
    files: Mapping[str, str | bytes] | None = None,
) -> None:
    """Write a state, and files beside it, into a folder, which is made if need be.

    Args:
        folder: The checkpoint's folder.
        state: Plain containers, numbers, strings and tensors.
        name: File name of the state; it ends in ``.pt``, e.g. ``search.pt``.
        files: Further files of the folder, text or bytes by file name, e.g. ``genotype.yaml``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    contents = {
        key: content.encode() if isinstance(content, str) else content
        for key, content in (files or {}).items()
    }
    contents[name] = buffer.getvalue()
    (folder / MANIFEST).unlink(missing_ok=True)
    for file_name, content in contents.items():
        write_atomically(folder / file_name, content)
    sums = {key: hashlib.sha256(content).hexdigest() for key, content in contents.items()}
    write_atomically(folder / MANIFEST, json.dumps(sums, indent=1).encode())


def load_state(folder: Path, *, name: str) -> dict[str, Any]:
    """Read a state back.

    Raises:
        CheckpointError: If the folder is absent, cut short, damaged or holds no such state.
    """
    path = folder / name
    try:
        sums = json.loads((folder / MANIFEST).read_text())
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder}: no whole checkpoint: {Path(error.filename).name} is missing"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: damaged checkpoint: {error}") from error
    if not isinstance(sums, dict) or sums.get(name) != hashlib.sha256(content).hexdigest():
        raise CheckpointError(f"{path}: damaged checkpoint: its SHA-256 sum is not the manifest's")
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: not a state that can be loaded safely") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, but must hold a dict")
    return state


@contextmanager
def fetched(folder: str) -> Iterator[Path]:
    """Yield a checkpoint's folder on this machine; what lies behind a URI is copied for so long.

    Args:
        folder: A path, or a URI that pyarrow reaches, which is then imported.

    Raises:
        CheckpointError: If it cannot be copied. One that is raised meanwhile names the URI.
    """
    if not is_uri(folder):
        yield expanded(folder)
        return
    from pyarrow.fs import FileSystem, copy_files

    with tempfile.TemporaryDirectory() as copy:
        try:
            filesystem, path = FileSystem.from_uri(folder)
            copy_files(path, copy, source_filesystem=filesystem)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: cannot be fetched: {error}") from error
        try:
            yield Path(copy)
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(copy, folder)) from error


def newest_intact(folders: Iterable[str], *, name: str) -> tuple[str, dict[str, Any]]:
    """Return the newest checkpoint that is whole, with its state; warn of each damaged one.

    Args:
        folders: Checkpoint folders, as `fetched` takes them, whose names end in a number that
            grows with time.
        name: File name of the state.

    Raises:
        CheckpointError: If none is whole.
    """
    candidates = sorted(folders, key=_number, reverse=True)
    for folder in candidates:
        try:
            with fetched(folder) as local:
                return folder, load_state(local, name=name)
        except CheckpointError as error:
            warnings.warn(f"skipped a checkpoint: {error}", stacklevel=2)
    where = candidates[0].rpartition("/")[0] if candidates else "here"
    raise CheckpointError(f"no whole checkpoint among the {len(candidates)} in {where}")


def check_same_trial(own: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Compare what decides the result of a trial with what a checkpoint has of it.

    Raises:
        CheckpointError: If an entry differs; names the entries.
    """
    differing = sorted(key for key, value in own.items() if saved.get(key) != value)
    if differing:
        raise CheckpointError(
            f"the checkpoint is of another trial: {', '.join(differing)} differ; "
            "use the trial that it was made with"
        )


@contextmanager
def taking(folder: Path | str) -> Iterator[None]:
    """Have a state that does not fit told as one of another version, while the block takes it.

    Raises:
        CheckpointError: If it does not fit.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: made by another version: {error!r}") from error


def _number(folder: str) -> int:
    digits = re.search(r"(\d+)$", folder)
    return int(digits.group(1)) if digits else -1
