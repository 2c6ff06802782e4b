"""The data sets by name: those of the manifest and custom ones, ``module:function``."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from tune_nas import manifest
from tune_nas.config import DataConfig
from tune_nas.errors import ConfigError
from tune_nas.user_code import load_named

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Source:
    """One part of a data set, whose images are read on demand.

    Attributes:
        labels: Class of each image, int64, (n,).
        n_classes: Number of classes.
        read: Takes indices of images, int64, (m,), and returns these images as uint8,
            (m, channels, height, width), on the CPU. Raises `DataError` naming a damaged file.
        mean: Published mean of each channel in [0, 1]; None to compute it from the images.
        std: Published standard deviation, likewise.
        mirrors: Whether an image mirrored left to right keeps its class.
        classes: Names of the classes, in the order of the labels; empty to use their numbers.
        unread: A text about other files in the folder that are not read.
        original: Takes the index of an image and returns it before any resizing, as uint8,
            (3, height, width), on the CPU, for crops that are resized. None to take it from `read`.
        streams: Whether a retraining run reads images when it needs them, in several processes,
            instead of keeping all in memory.
        well_known: Whether the classes and their counts are known to everyone, so that they are
            not printed at the start of a run.
    """

    labels: Tensor
    n_classes: int
    read: Callable[[Tensor], Tensor]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    mirrors: bool = True
    classes: tuple[str, ...] = ()
    unread: str = ""
    well_known: bool = False
    original: Callable[[int], Tensor] | None = None
    streams: bool = False


Reader = Callable[[DataConfig, Part], Source]

_KEY = "data.name"


def register_dataset(name: str) -> Callable[[Reader], Reader]:
    """Register a data set in this process: a function that opens its train or test part.

    A trial can also name the function itself, ``module:function``; the workers of a sweep then find
    it, too.

    The function must not touch the files of the other part. Its docstring's first line is the
    data set's description.

    Raises:
        ValueError: If another function has the name. The same function, by module and qualified
            name, replaces its earlier registration.
    """
    _check_free(name)

    def register(reader: Reader) -> Reader:
        _check_free(name, reader)
        manifest.register("datasets", name, reader)
        return reader

    return register


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    return tuple(sorted(manifest.names("datasets")))


def dataset_description(name: str) -> str:
    """Return a one-line description of a data set."""
    return (inspect.getdoc(find_reader(name)) or "").split("\n")[0]


def find_reader(name: str, folders: Sequence[Path] = ()) -> Reader:
    """Return the function that opens a data set.

    Args:
        name: The name of the data set, or ``module:function``.
        folders: Folders searched first for the module of a custom data set.

    Raises:
        ConfigError: If no data set has this name; names the nearest one.
    """
    if not manifest.is_known("datasets", name) and not manifest.is_reference(name):
        known = dataset_names()
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"{_KEY} is '{name}', but must be one of {', '.join(known)}{hint}")
    reader = load_named(_KEY, name, folders)
    if not callable(reader):
        raise ConfigError(
            f"{_KEY} is '{name}', but must be a function that opens a part of a data set"
        )
    found: Reader = reader
    return found


def _check_free(name: str, reader: Reader | None = None) -> None:
    if manifest.owner("datasets", name, reader) is not None:
        raise ValueError(f"a data set named '{name}' is registered already")


def folder_problem(folder: Path) -> str | None:
    """Return a description of why a folder cannot be read; None if it can."""
    try:
        if not folder.exists():
            return "does not exist"
    except OSError as error:  # too long, or in a directory that must not be searched
        return f"cannot be read: {error.strerror}"
    if not folder.is_dir():
        return "is not a folder"
    return None if os.access(folder, os.R_OK | os.X_OK) else "cannot be read"
