"""Random crops, flips and cutout of whole batches, as pure functions of images and random draws.

Random values are sampled first, on the CPU, from an explicit generator; the functions then give the
same result on any device. There is no loop over the images of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tune_nas.config import AugmentConfig
from tune_nas.errors import ConfigError


@dataclass(frozen=True)
class Draws:
    """Random values for n images; None for a change that is off.

    Attributes:
        offsets: Top and left of each crop within the padded image, int64, (n, 2).
        flips: Whether each image is mirrored, bool, (n,).
        centers: Row and column of each cutout's center, int64, (n, 2).
    """

    offsets: Tensor | None = None
    flips: Tensor | None = None
    centers: Tensor | None = None

    def __getitem__(self, part: slice | Tensor) -> Draws:
        """Return the draws of a range of the images, or of those with the given indices."""
        return Draws(*(None if each is None else each[part] for each in self._all()))

    def to(self, device: torch.device) -> Draws:
        """Return the draws on a device."""
        return Draws(*(None if each is None else each.to(device) for each in self._all()))

    def clone(self) -> Draws:
        """Return a copy that shares no memory."""
        return Draws(*(None if each is None else each.clone() for each in self._all()))

    def copy_(self, other: Draws) -> None:
        """Copy the values of other draws, for the same changes and number of images."""
        for own, new in zip(self._all(), other._all(), strict=True):
            if own is not None and new is not None:
                own.copy_(new)

    def _all(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        return self.offsets, self.flips, self.centers


def fitted(
    config: AugmentConfig, side: int, *, mirrors: bool, key: str, streams: bool = False
) -> AugmentConfig:
    """Return an augmentation in pixels of the actual images, with ``flip`` true or false.

    A size that is given for other images is scaled, rounded to the nearest pixel (half up): DARTS's
    padding of 4 and cutout of 16 for 32 pixels are 1 and 4 for 8 pixels.

    Args:
        config: The augmentation of the trial.
        side: Height and width of the images, in pixels.
        mirrors: Whether a mirrored image keeps its class.
        key: Its key in the trial, e.g. ``retrain.augment``.
        streams: Whether images are read when needed, which some changes require.

    Raises:
        ConfigError: If crop and cutout can blank a whole image, or images in memory cannot be
            changed so.
    """
    if not streams:
        _check_changes_of_batches(config, key)

    def scaled(pixels: int) -> int:
        stated = config.reference_size
        return pixels if stated is None else (2 * pixels * side + stated) // (2 * stated)

    padding, square = scaled(config.crop_padding), scaled(config.cutout)
    unused = {"crop_scale": AugmentConfig.model_fields["crop_scale"].default}
    if config.crop == "resized":
        padding, unused = 0, {}
    # A crop in the corner shows side - padding pixels; a square of that side can cover them.
    if padding + square >= side:
        remedy = (
            f"or set {key}.reference_size to the side that they are stated for (32 for CIFAR)"
            if config.reference_size is None
            else f"they are scaled from {key}.reference_size, {config.reference_size}"
        )
        raise ConfigError(
            f"{key} can blank whole images: crop_padding {padding} and cutout {square} add up to "
            f"{padding + square} pixels, but must be less than {side}, the side of the images; "
            f"lower them, {remedy}"
        )
    flips = mirrors if config.flip == "auto" else config.flip
    sizes = {"crop_padding": padding, "cutout": square, "reference_size": None}
    return config.model_copy(update={**unused, **sizes, "flip": flips})


def _check_changes_of_batches(config: AugmentConfig, key: str) -> None:
    """Reject changes that are made on single images, before they are kept in memory."""
    if config.crop == "resized":
        what = f"{key}.crop is 'resized'"
    elif any(config.color_jitter):
        what = f"{key}.color_jitter is {list(config.color_jitter)}"
    else:
        return
    reason = (
        "a search keeps its images in memory, in their final size"
        if key == "data.augment"
        else "needs images that are read when needed; set data.name to imagenet, or data.streaming "
        "with data.name folder"
    )
    raise ConfigError(f"{what}, but {reason}")


def draw(
    config: AugmentConfig | None, n: int, height: int, width: int, generator: torch.Generator
) -> Draws:
    """Sample the changes of n images on the CPU.

    Args:
        config: The changes, as returned by `fitted`; None for none.
        n: Number of images.
        height: Their height, in pixels.
        width: Their width, in pixels.
        generator: CPU generator. A change that is off samples nothing from it.
    """
    if config is None:
        return Draws()
    offsets = flips = centers = None
    if config.crop_padding:
        offsets = torch.randint(2 * config.crop_padding + 1, (n, 2), generator=generator)
    if config.flip:
        flips = torch.randint(2, (n,), generator=generator).bool()
    if config.cutout:
        rows = torch.randint(height, (n,), generator=generator)
        columns = torch.randint(width, (n,), generator=generator)
        centers = torch.stack((rows, columns), dim=1)
    return Draws(offsets, flips, centers)


def random_crop(images: Tensor, offsets: Tensor, padding: int) -> Tensor:
    """Pad images with zeros on all sides and cut out windows of the original size.

    Args:
        images: (n, channels, height, width), any type; zero is black before normalization.
        offsets: Top and left of each window in the padded image, (n, 2), in [0, 2 · padding].
        padding: Pixels of padding on each side.
    """
    n, channels, height, width = images.shape
    device = images.device
    padded = functional.pad(images, (padding,) * 4).contiguous()
    padded_height, padded_width = padded.shape[-2:]
    # Copying whole rows is several times faster than gathering pixels: take a view of every run of
    # `width` pixels in memory, and the start of each needed one.
    runs = padded.view(-1).unfold(0, width, 1)
    planes = torch.arange(n * channels, device=device).view(n, channels, 1) * padded_height
    rows = planes + (offsets[:, :1] + torch.arange(height, device=device))[:, None]
    starts = rows * padded_width + offsets[:, 1, None, None]
    return runs.index_select(0, starts.view(-1)).view(images.shape)


def flip(images: Tensor, flips: Tensor) -> Tensor:
    """Mirror some of the images left to right.

    Args:
        images: (n, channels, height, width).
        flips: Whether to mirror each image, bool, (n,).
    """
    n = images.shape[0]
    both = torch.cat((images, images.flip(3)))
    return both.index_select(0, torch.arange(n, device=images.device) + n * flips)


def cutout(images: Tensor, centers: Tensor, size: int) -> Tensor:
    """Set a square of each image to zero; it may extend past the border (DeVries and Taylor 2017).

    As published, it is applied after normalization, where zero is the mean color.

    Args:
        images: (n, channels, height, width).
        centers: Row and column of each square's center, (n, 2). A square of even side covers one
            pixel more above and left of the center than below and right.
        size: Side of the square, in pixels.
    """
    height, width = images.shape[-2:]
    first = (centers - size // 2)[:, :, None]
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    in_rows = (rows >= first[:, 0]) & (rows < first[:, 0] + size)
    in_columns = (columns >= first[:, 1]) & (columns < first[:, 1] + size)
    in_square = in_rows.to(images.dtype)[:, None, :, None] * in_columns[:, None, None, :]
    return images * (1 - in_square)
