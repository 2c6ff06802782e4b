"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read by torchvision, which checks the MD5 sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Part, Source, folder_problem
from tune_nas.data.vision import import_torchvision
from tune_nas.errors import DataError, DataUnavailableError
from tune_nas.paths import expanded

# As in the DARTS code, `cnn/utils.py`.
_CIFAR10_MEAN = (0.49139968, 0.48215827, 0.44653124)
_CIFAR10_STD = (0.24703233, 0.24348505, 0.26158768)
# As in the NAS-Bench-201 code, in units of 1/255.
_CIFAR100_MEAN = (129.3 / 255, 124.1 / 255, 112.4 / 255)
_CIFAR100_STD = (68.2 / 255, 65.4 / 255, 70.4 / 255)


def read_cifar10(config: DataConfig, part: Part) -> Source:
    """Open CIFAR-10: 50,000 and 10,000 color images of 32 × 32 pixels, 10 classes."""
    source = _read(import_torchvision().datasets.CIFAR10, config, part)
    return replace(source, mean=_CIFAR10_MEAN, std=_CIFAR10_STD)


def read_cifar100(config: DataConfig, part: Part) -> Source:
    """Open CIFAR-100: 50,000 and 10,000 color images of 32 × 32 pixels, 100 classes."""
    source = _read(import_torchvision().datasets.CIFAR100, config, part)
    return replace(source, mean=_CIFAR100_MEAN, std=_CIFAR100_STD)


def _read(dataset: Any, config: DataConfig, part: Part) -> Source:
    if config.dir is None:
        raise DataError(
            f"data.dir is not given, but {config.name} needs it: the folder that holds "
            f"'{dataset.base_folder}'"
        )
    folder = expanded(config.dir)
    if not config.download:
        _check_folder(folder, dataset)
    # torchvision reads all files to check their sums; here, only those of this part.
    unread = "test_list" if part == "train" else "train_list"
    half = type(dataset.__name__, (dataset,), {unread: []})
    try:
        data = half(root=str(folder), train=part == "train")
    except (RuntimeError, OSError) as error:
        if not config.download:
            raise _diagnose(folder, half, config, error) from error
        data = _download(dataset, folder, config, part)
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return Source(
        torch.tensor(data.targets),
        len(data.classes),
        lambda index: images[index],
        classes=tuple(data.classes),
        well_known=True,
    )


def _download(dataset: Any, folder: Path, config: DataConfig, part: Part) -> Any:
    try:
        return dataset(root=str(folder), train=part == "train", download=True)
    except (RuntimeError, OSError) as error:
        cause = " ".join(str(error).split())
        raise DataUnavailableError(
            f"data.download: {config.name} could not be fetched into '{folder}' ({cause})"
        ) from error


def _check_folder(folder: Path, dataset: Any) -> None:
    inner = folder / dataset.base_folder
    problem = folder_problem(inner)
    if problem is not None:
        raise DataUnavailableError(
            f"data.dir: '{inner}' {problem}; data.dir must be the folder that holds "
            f"'{dataset.base_folder}' (or set data.download to fetch it)"
        )


def _diagnose(folder: Path, dataset: Any, config: DataConfig, error: Exception) -> DataError:
    """Return an error that says which file of a data set is wrong."""
    check_integrity = import_torchvision().datasets.utils.check_integrity
    meta = [dataset.meta["filename"], dataset.meta["md5"]]
    for name, md5 in (*dataset.train_list, *dataset.test_list, meta):
        path = folder / dataset.base_folder / name
        if not path.is_file():
            return DataUnavailableError(
                f"data.dir: '{path}' is missing; fetch {config.name} anew (data.download)"
            )
        try:
            intact = check_integrity(str(path), md5)
        except OSError as cause:
            return DataUnavailableError(f"data.dir: '{path}' cannot be read ({cause.strerror})")
        if not intact:
            return DataError(
                f"data.dir: '{path}' is damaged (its MD5 sum is not the published one); "
                f"fetch {config.name} anew (data.download)"
            )
    message = " ".join(str(error).split())
    return DataError(f"data.dir: {config.name} cannot be read from '{folder}': {message}")
