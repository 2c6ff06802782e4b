"""The facts about its images that a trained network needs later: sizes, normalization, classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tune_nas.data import DataFacts


@dataclass(frozen=True)
class DataSummary:
    """The images that a network was trained for.

    Args:
        classes: Names of the classes, in the order of the logits.
        in_channels: Channels of the images.
        image_size: Height and width of the images, in pixels.
        mean: Mean of each channel, in [0, 1], that was subtracted.
        std: Standard deviation of each channel by which was divided.
    """

    classes: tuple[str, ...]
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Reject values that no data set has.

        Raises:
            ValueError: If one is invalid.
        """
        if self.in_channels < 1 or self.image_size < 1 or not self.classes:
            raise ValueError("the summary of the images must have channels, pixels and classes")
        if not len(self.mean) == len(self.std) == self.in_channels:
            raise ValueError("the summary of the images must have a mean and std per channel")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ValueError("mean and std of the images must be finite, std > 0")

    @classmethod
    def of(cls, data: DataFacts) -> DataSummary:
        """Return the summary of the data of a retraining run.

        Unnamed classes get numbers; a single mean or deviation is that of all channels.
        """
        classes = data.classes or tuple(str(label) for label in range(data.n_classes))
        channels = data.in_channels
        mean, std = (each * channels if len(each) == 1 else each for each in (data.mean, data.std))
        return cls(classes, channels, data.image_size, mean, std)

    def to_dict(self) -> dict[str, object]:
        """Return plain containers for a checkpoint."""
        return {
            "classes": list(self.classes),
            "in_channels": self.in_channels,
            "image_size": self.image_size,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> DataSummary:
        """Return the summary that `to_dict` wrote.

        Raises:
            TypeError: If a value has another type.
            KeyError: If a value is missing.
        """
        return cls(
            classes=tuple(str(name) for name in _listed(content["classes"])),
            in_channels=_whole(content["in_channels"]),
            image_size=_whole(content["image_size"]),
            mean=tuple(float(value) for value in _listed(content["mean"])),
            std=tuple(float(value) for value in _listed(content["std"])),
        )


def _listed(value: object) -> list[str | float]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} must be a list")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} must be an integer")
    return value
