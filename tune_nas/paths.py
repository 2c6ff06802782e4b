"""Local paths and remote URIs."""

from __future__ import annotations

import os
from pathlib import Path

from tune_nas.errors import StorageError
from tune_nas.text import shown

SWEEP, STATE = "sweep.yaml", "state.json"
"""Files of a run's folder."""
LOG = "log.txt"
"""Warnings of libraries, in a run's folder."""
CHECKPOINT = "checkpoint_"
"""Prefix of the names of Ray's checkpoint folders; a number follows."""
GENOTYPE = "genotype.yaml"
"""The genotype in a checkpoint and among the artifacts of a run."""
CANDIDATES = "candidates.csv"
ANALYSIS = "analysis.json"
"""The table of an analysis in a checkpoint, among the artifacts of a run and in its folder."""
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
"""MLflow's file and folder in a storage."""


def is_uri(place: str) -> bool:
    """Return whether a location is a URI (``s3://…``) rather than a local path."""
    return "://" in place


def absolute(place: str, folder: str = "") -> str:
    """Return an absolute path with ``~`` resolved; a URI is returned unchanged.

    Args:
        place: A path or a URI.
        folder: Base of a relative path; the working directory if empty.
    """
    return place if is_uri(place) else str(Path(folder, expanded(place)).absolute())


def is_of_run(folder: Path) -> bool:
    """Return whether a folder is a run's folder or MLflow's artifacts in a storage."""
    if folder.name == ARTIFACTS and (folder.parent / DATABASE).is_file():
        return True
    return (folder / STATE).is_file() and (folder / SWEEP).is_file()


def holds_runs(folder: Path) -> bool:
    """Return whether a folder is a storage: it has MLflow's database, or folders of runs."""
    if (folder / DATABASE).is_file():
        return True
    with os.scandir(folder) as entries:
        return any(is_of_run(Path(entry.path)) for entry in entries if entry.is_dir())


def expanded(place: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by that home directory.

    Raises:
        StorageError: If the user does not exist, or the path is not UTF-8 text.
    """
    if not str(place).isprintable() and "\\udc" in ascii(str(place)):  # bytes of another encoding
        raise StorageError(f"{shown(str(place))}: must be UTF-8, which files of settings are")
    try:
        return Path(place).expanduser()
    except RuntimeError as error:
        user = str(place).partition("/")[0]
        raise StorageError(f"{shown(str(place))}: '{user}' has no home directory") from error


def is_file(place: str | Path) -> bool:
    """Return whether a text is the path of a file; False for an impossible path."""
    try:
        return Path(place).is_file()
    except OSError:  # too long, or in a directory that must not be searched
        return False


def is_folder(place: str | Path) -> bool:
    """Return whether a text is the path of a directory; False for an impossible path."""
    try:
        return Path(place).is_dir()
    except OSError:
        return False
