"""A data set of one's own: images of stripes; own-data.yaml, a trial, names it.

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
    """Make gray images of stripes in four directions, under noise."""
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
    # A file of each image would be read here, for the images that are asked for alone.
    return Source(
        labels,
        len(_CLASSES),
        read=lambda index: images[index],
        mirrors=False,  # mirrored, falling stripes rise
        classes=_CLASSES,
    )
