"""Recognizing a data set by the files in a folder."""

from __future__ import annotations

from pathlib import Path

_FILES = {
    "cifar-10-batches-py": "cifar10",
    "cifar-100-python": "cifar100",
    "train_32x32.mat": "svhn",
    "train_data_batch_1": "imagenet16-120",
    "train": "folder",
}
"""A file or folder of each data set."""


def data_set_in(folder: str | None) -> str | None:
    """Return the name of the data set that a folder has, or None if it is not recognized."""
    if folder is None:
        return None
    return next((name for file, name in _FILES.items() if Path(folder, file).exists()), None)
