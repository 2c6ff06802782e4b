"""A custom data set: images of stripes, used by the trial own-data.yaml.

tune-nas search examples/own-data.yaml
"""

from __future__ import annotations

import torch

from tune_nas.config import DataConfig
from tune_nas.data import Part, Source

_IMAGES = {"train": 480, "test": 120}
_SIDE = 8  # pixels
_CLASSES = ("horizontal", "vertical", "falling", "rising")


def stripes(config: DataConfig, part: Part) -> Source:
    """Return gray images of stripes in four directions, with noise."""
    generator = torch.Generator().manual_seed({"train": 0, "test": 1}[part])
    n = _IMAGES[part]
    labels = torch.arange(n) % len(_CLASSES)
    rows = torch.arange(_SIDE)[:, None].expand(_SIDE, _SIDE)
    columns = rows.T
    along = torch.stack([rows, columns, rows - columns, rows + columns])[labels]
    start = torch.randint(0, 4, (n, 1, 1), generator=generator)
    bright = (along + start) % 4 < 2
    noise = torch.randint(0, 128, (n, _SIDE, _SIDE), generator=generator)
    images = (127 * bright + noise).to(torch.uint8)[:, None]
    # With image files, read only the files of the requested images here.
    return Source(
        labels,
        len(_CLASSES),
        read=lambda index: images[index],
        mirrors=False,  # mirrored falling stripes are rising
        classes=_CLASSES,
    )
