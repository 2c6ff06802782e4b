"""The facts about its images that a trained network needs later: sizes, normalization, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tune_nas.data.loading import RetrainData


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

    @classmethod
    def of(cls, data: RetrainData) -> DataSummary:
        """Return the summary of the data of a retraining run; unnamed classes get numbers."""
        classes = data.classes or tuple(str(label) for label in range(data.n_classes))
        return cls(classes, data.in_channels, data.image_size, data.mean, data.std)

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
    if not isinstance(value, int):
        raise TypeError(f"{value!r} must be an integer")
    return value
