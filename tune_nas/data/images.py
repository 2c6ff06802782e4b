"""Images in memory: uint8 tensors with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_COUNTED_AT_ONCE = 2**26  # pixels


@dataclass(frozen=True)
class Images:
    """Images and their classes, on one device.

    Attributes:
        images: uint8, (n, channels, height, width).
        labels: int64, (n,).

    Raises:
        ValueError: If a type or shape is wrong.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images is {self.images.dtype} of {self.images.ndim} dimensions, "
                "but must be uint8 of 4 (n, channels, height, width)"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels is {self.labels.dtype} of shape {tuple(self.labels.shape)}, "
                f"but must be int64 of shape ({self.images.shape[0]},)"
            )

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, part: slice) -> Images:
        """Return a range of the images, sharing their memory."""
        return Images(self.images[part], self.labels[part])

    def select(self, positions: Tensor) -> Images:
        """Return the images at some positions, int64, (k,)."""
        return Images(self.images[positions], self.labels[positions])

    def to(self, device: torch.device) -> Images:
        """Return the images on a device."""
        return Images(self.images.to(device), self.labels.to(device))


def resize(images: Tensor, side: int) -> Tensor:
    """Return uint8 images of ``side`` × ``side`` pixels, bilinear and antialiased.

    Args:
        images: uint8, (n, channels, height, width), on the CPU.
        side: Target height and width, at least 1.
    """
    if images.shape[-2:] == (side, side):
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return each channel's mean and standard deviation, in units of the full range [0, 1].

    Computed from exact counts of the 256 values, without a floating-point copy of the images. A
    constant channel gets standard deviation 1, so that division is safe.

    Args:
        images: uint8, (n, channels, height, width).
    """
    values = torch.arange(256, dtype=torch.float64) / 255.0
    n_at_once = max(1, _COUNTED_AT_ONCE // images[0, 0].numel())
    means, deviations = [], []
    for channel in range(images.shape[1]):
        # In parts: the values of a channel are not contiguous and are copied for this.
        parts = torch.split(images[:, channel], n_at_once)
        each = [torch.bincount(part.flatten(), minlength=256) for part in parts]
        counts = torch.stack(each).sum(dim=0).cpu().double()
        share = counts / counts.sum()
        mean = (share * values).sum()
        deviation = (share * (values - mean) ** 2).sum().sqrt()
        means.append(float(mean))
        deviations.append(float(deviation) or 1.0)
    return tuple(means), tuple(deviations)
