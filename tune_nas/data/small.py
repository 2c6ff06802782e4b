"""Data sets that need no files: handwritten digits, and generated images for tests."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Part, Source
from tune_nas.data.split import stratified
from tune_nas.errors import DataError

_DIGITS_TEST_IMAGES = 360
_DIGITS_DIVISION_SEED = 1797
_FAKE_CLASSES = 4
_FAKE_IMAGES = {"train": 256, "test": 64}
_FAKE_SIDE = 8


def read_digits(config: DataConfig, part: Part) -> Source:
    """Open the 1,797 handwritten digits of scikit-learn, 8 × 8 pixels, one channel.

    They have no published split. Here, a stratified set of 360 is for testing, independent of the
    trial's seed.
    """
    table = _digits_table()
    labels = torch.from_numpy(table[:, -1]).long()
    division = torch.Generator().manual_seed(_DIGITS_DIVISION_SEED)
    test, train = stratified(labels, _DIGITS_TEST_IMAGES, division)
    index = train if part == "train" else test
    # The scanner's 17 gray values are spread over the range of a byte.
    gray = torch.from_numpy(table[:, :-1]).reshape(-1, 8, 8)[index] * (255.0 / 16.0)
    images = gray.round().to(torch.uint8)[:, None]
    return Source(
        labels[index],
        10,
        read=lambda wanted: images[wanted],
        mirrors=False,
        classes=tuple("0123456789"),
        well_known=True,
    )


def _digits_table() -> npt.NDArray[np.float64]:
    """Return scikit-learn's table of digits: 64 pixels and the digit of each image.

    Its file is read directly, since importing scikit-learn takes a second.

    Raises:
        DataError: If scikit-learn is not installed, or has no such file.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits needs scikit-learn, which is not installed")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            return np.loadtxt(file, delimiter=",")
    except OSError as error:
        raise DataError(f"digits of scikit-learn cannot be read: {path}: {error}") from error


def read_fake(config: DataConfig, part: Part) -> Source:
    """Generate learnable images of 4 classes, 8 × 8 pixels, 3 channels, always the same.

    Each class has its smooth pattern; each image is the pattern of its class at a random contrast,
    plus noise.
    """
    shared = torch.Generator().manual_seed(0)
    coarse = torch.rand(_FAKE_CLASSES, 3, 3, 3, generator=shared)
    patterns = functional.interpolate(
        coarse, size=(_FAKE_SIDE, _FAKE_SIDE), mode="bilinear", align_corners=True
    )
    generator = torch.Generator().manual_seed(1 if part == "train" else 2)
    n = _FAKE_IMAGES[part]
    labels = torch.arange(n) % _FAKE_CLASSES
    contrast = 0.5 + 0.5 * torch.rand(n, 1, 1, 1, generator=generator)
    noise = 0.15 * torch.randn(n, 3, _FAKE_SIDE, _FAKE_SIDE, generator=generator)
    pixels = 0.5 + contrast * (patterns[labels] - 0.5) + noise
    images = (255.0 * pixels.clamp(0.0, 1.0)).round().to(torch.uint8)
    return Source(labels, _FAKE_CLASSES, read=lambda wanted: images[wanted], mirrors=False)
