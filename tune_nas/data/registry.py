"""The data sets by name."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from tune_nas.config import DataConfig
from tune_nas.errors import ConfigError

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Source:
    """One part of a data set, whose images are read only when asked for.

    Attributes:
        labels: Class of every image, int64, (n,).
        n_classes: Number of classes.
        read: Takes indices of images, int64, (m,), and returns these images as uint8,
            (m, channels, height, width), on the CPU. Raises `DataError` naming a damaged file.
        mean: Published mean of each channel in [0, 1]; None to compute it from the images.
        std: Published standard deviation, likewise.
        mirrors: Whether an image that is mirrored left to right keeps its class.
        classes: Names of the classes, in the order of the labels; empty where they are known.
        unread: What lies beside the images and is not read, in words.
    """

    labels: Tensor
    n_classes: int
    read: Callable[[Tensor], Tensor]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    mirrors: bool = True
    classes: tuple[str, ...] = ()
    unread: str = ""


Reader = Callable[[DataConfig, Part], Source]

_readers: dict[str, Reader] = {}


def register_dataset(name: str) -> Callable[[Reader], Reader]:
    """Register a data set: a function that opens its train or its test part.

    The function must not touch the files of the other part. Its docstring's first line is the
    data set's description.

    Raises:
        ValueError: If the name is taken.
    """
    if name in _readers:
        raise ValueError(f"a data set named '{name}' is registered already")

    def register(reader: Reader) -> Reader:
        _readers[name] = reader
        return reader

    return register


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    return tuple(sorted(_readers))


def dataset_description(name: str) -> str:
    """Return what a data set is, in one line."""
    return (inspect.getdoc(find_reader(name)) or "").split("\n")[0]


def find_reader(name: str) -> Reader:
    """Return the function that opens a data set.

    Raises:
        ConfigError: If there is no such data set.
    """
    if name not in _readers:
        raise ConfigError(f"data.name is '{name}', but must be one of {', '.join(dataset_names())}")
    return _readers[name]


def folder_problem(folder: Path) -> str | None:
    """Return what keeps a folder from being read, in words; None if nothing does."""
    try:
        if not folder.exists():
            return "does not exist"
    except OSError as error:  # too long, or in a directory that must not be searched
        return f"cannot be read: {error.strerror}"
    if not folder.is_dir():
        return "is not a folder"
    return None if os.access(folder, os.R_OK | os.X_OK) else "cannot be read"
