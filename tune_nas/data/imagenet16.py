"""ImageNet16-120: 120 classes of ImageNet at 16 × 16 pixels, as in NAS-Bench-201."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Part, Source, folder_problem
from tune_nas.data.pickled_arrays import array_of, read_pickle
from tune_nas.errors import DataError, DataUnavailableError
from tune_nas.paths import expanded

N_CLASSES = 120
_SIDE = 16
# File names and MD5 sums as in D-X-Y/AutoDL-Projects, `xautodl/datasets/DownsampledImageNet.py`.
FILES: dict[Part, dict[str, str]] = {
    "train": {
        "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
        "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
        "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
        "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
        "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
        "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
        "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
        "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
        "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
        "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    },
    "test": {"val_data": "3410e3017fdaefba8d5073aaa65e4bd6"},
}
# As in the NAS-Bench-201 code, in units of 1/255.
_MEAN = (122.68 / 255, 116.66 / 255, 104.01 / 255)
_STD = (63.22 / 255, 61.26 / 255, 65.09 / 255)


def read_imagenet16(config: DataConfig, part: Part) -> Source:
    """Open ImageNet16-120: 151,700 and 6,000 color images of 16 × 16 pixels, 120 classes.

    The files are those of downsampled ImageNet (Chrabaszcz et al. 2017), of which NAS-Bench-201
    uses the first 120 classes. Their validation images are the test part.
    """
    if config.dir is None:
        raise DataError(
            f"data.dir is not given, but {config.name} needs it: the folder that holds "
            "'train_data_batch_1' to 'train_data_batch_10' and 'val_data'"
        )
    folder = expanded(config.dir)
    problem = folder_problem(folder)
    if problem is not None:
        raise DataUnavailableError(f"data.dir: '{folder}' {problem}")
    batches = [_read_batch(folder / name, md5) for name, md5 in FILES[part].items()]
    images = torch.cat([each for each, _ in batches])
    return Source(
        torch.cat([labels for _, labels in batches]),
        N_CLASSES,
        lambda index: images[index],
        mean=_MEAN,
        std=_STD,
        well_known=True,
    )


def _read_batch(file: Path, md5: str) -> tuple[Tensor, Tensor]:
    """Return the images (n, 3, 16, 16) and labels (n,), from 0, of the first 120 classes."""
    _check_sum(file, md5)
    content = read_pickle(file)
    entries = content if isinstance(content, dict) else {}
    pixels, labels = array_of(entries.get("data")), entries.get("labels")
    if (numbers := array_of(labels)) is not None:
        labels = numbers.tolist()
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape[1:] != (3 * _SIDE * _SIDE,):
        raise DataError(
            f"data.dir: '{file}' must have uint8 'data' of {3 * _SIDE * _SIDE} values per image"
        )
    if (
        not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(type(label) is int and 1 <= label <= 1000 for label in labels)
    ):
        raise DataError(f"data.dir: '{file}' must have 'labels' from 1 to 1000, one per image")
    classes = torch.tensor(labels, dtype=torch.int64)
    used = classes <= N_CLASSES
    images = torch.from_numpy(pixels.copy()).view(-1, 3, _SIDE, _SIDE)
    return images[used], classes[used] - 1


def _check_sum(file: Path, md5: str) -> None:
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(
                opened, lambda: hashlib.md5(usedforsecurity=False)
            ).hexdigest()
    except FileNotFoundError:
        raise DataUnavailableError(f"data.dir: '{file}' is missing") from None
    except OSError as error:
        raise DataUnavailableError(
            f"data.dir: '{file}' cannot be read ({error.strerror})"
        ) from error
    if found != md5:
        raise DataError(f"data.dir: '{file}' is damaged (its MD5 sum is not the published one)")
