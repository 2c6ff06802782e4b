"""Atomic writing of files: a crash or full disk leaves no partial file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically: a crash leaves either the old or the new one.

    Once this returns, the file survives a power cut: the file is synced, then renamed, then its
    folder is synced.

    Raises:
        OSError: If it cannot be written. Has the file's name, which the error of a full disk lacks.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Create a folder and those above that are missing; they survive a power cut.

    Raises:
        OSError: If it cannot be created.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def folder_bytes(folder: Path) -> int:
    """Return the number of bytes of all files below a folder; 0 if there is none.

    Links are not followed. Files that are removed meanwhile count as 0.
    """
    total, folders = 0, [str(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut, if the file system can sync a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
