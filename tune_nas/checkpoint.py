"""Checkpoints of a search or retraining run: atomic, checksummed, safe to load.

A checkpoint is a folder. Every file in it is written under a temporary name, synced and renamed;
``manifest.json``, written last, contains their SHA-256 sums, so that an incomplete or damaged
folder is detected. State consists of plain containers and tensors: it is read with
``weights_only=True``, which runs no code.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tune_nas.checkpoint_folder import MANIFEST
from tune_nas.errors import CheckpointError
from tune_nas.files import write_atomically

State = dict[str, Any]
"""A state by name: plain containers, numbers, strings and tensors."""


def save_state(
    folder: Path,
    state: Mapping[str, object],
    *,
    name: str,
    files: Mapping[str, str | bytes] | None = None,
) -> None:
    """Write a state and additional files to a folder, which is created if needed.

    Args:
        folder: The checkpoint's folder.
        state: Plain containers, numbers, strings and tensors.
        name: File name of the state; it ends in ``.pt``, e.g. ``search.pt``.
        files: Additional files, text or bytes by file name, e.g. ``genotype.yaml``.
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
    """Load a state.

    Raises:
        CheckpointError: If the folder is missing, incomplete, damaged or has no such state.
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


def check_same_trial(own: Mapping[str, object], saved: Mapping[str, object]) -> None:
    """Check that a trial and a checkpoint agree in everything that determines the result.

    Raises:
        CheckpointError: If entries differ; names them.
    """
    differing = sorted(key for key, value in own.items() if saved.get(key) != value)
    if differing:
        raise CheckpointError(
            f"the checkpoint is of another trial: {', '.join(differing)} differ; "
            "use the trial that it was made with"
        )


@contextmanager
def taking(folder: Path | str) -> Iterator[None]:
    """Report a state that does not fit, while the block loads it, as one of another version.

    Raises:
        CheckpointError: If it does not fit.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: made by another version: {error!r}") from error
