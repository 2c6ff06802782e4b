"""The folder of a checkpoint: its manifest, its files, and its copy on this machine.

Imports no torch; `tune_nas.checkpoint` writes and reads the state in such a folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tune_nas.errors import CheckpointError, StorageError
from tune_nas.paths import expanded, is_uri

MANIFEST = "manifest.json"
"""The file with the SHA-256 sums of the others, written last."""


def is_state(name: str) -> bool:
    """Return whether a file of a checkpoint is its state rather than an additional text file."""
    return name.endswith(".pt")


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of a checkpoint on this machine, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def fetched(folder: str) -> Iterator[Path]:
    """Yield a checkpoint's folder on this machine; a URI is copied to a temporary folder.

    Args:
        folder: A path, or a URI that pyarrow supports (imported only then).

    Raises:
        CheckpointError: If it does not exist or the URI is not valid. A `CheckpointError` raised in
            the block names the URI.
        StorageError: If it cannot be reached.
    """
    if not is_uri(folder):
        yield expanded(folder)
        return
    from pyarrow.fs import FileSystem, copy_files

    with tempfile.TemporaryDirectory() as copy:
        try:
            filesystem, path = FileSystem.from_uri(folder)
            copy_files(path, copy, source_filesystem=filesystem)
        except (FileNotFoundError, ValueError) as error:
            raise CheckpointError(f"{folder}: cannot be fetched: {error}") from error
        except OSError as error:
            raise StorageError(f"{folder}: cannot be fetched: {error}") from error
        try:
            yield Path(copy)
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(copy, folder)) from error


@contextmanager
def written(folder: str) -> Iterator[Path]:
    """Yield a folder on this machine for the files of a checkpoint, and store them after the block.

    A local folder is written directly; files for a URI are copied there, the manifest last, so that
    an incomplete copy is detected.

    Args:
        folder: A path, or a URI that pyarrow supports (imported only then).

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        if not is_uri(folder):
            yield expanded(folder)
            return
        from pyarrow.fs import FileSystem

        with tempfile.TemporaryDirectory() as copy:
            yield Path(copy)
            filesystem, target = FileSystem.from_uri(folder)
            filesystem.create_dir(target, recursive=True)
            files = sorted(Path(copy).iterdir(), key=lambda path: path.name == MANIFEST)
            for path in files:
                with filesystem.open_output_stream(f"{target}/{path.name}") as stream:
                    stream.write(path.read_bytes())
    except StorageError:
        raise
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        raise StorageError(f"{folder}: cannot be written: {reason}") from error


def remove_folder(folder: str) -> None:
    """Remove a folder with everything in it, as far as possible."""
    if not is_uri(folder):
        shutil.rmtree(expanded(folder), ignore_errors=True)
        return
    from pyarrow.fs import FileSystem

    with suppress(OSError, ValueError):
        filesystem, path = FileSystem.from_uri(folder)
        filesystem.delete_dir(path)
