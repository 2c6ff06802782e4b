"""Random changes of one image of any size, as functions of the image and a generator.

They are those of torchvision's ``v2`` transforms, sampled from an explicit generator instead of
torch's global one: with equal seeds, the results are equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tune_nas.config import AugmentConfig
from tune_nas.data.augment import random_crop
from tune_nas.data.vision import import_transforms

_RATIO = (3.0 / 4.0, 4.0 / 3.0)  # of the sides of a crop
_TRIES = 10


@dataclass(frozen=True)
class Box:
    """A rectangle within an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def crop_box(
    height: int, width: int, scale: tuple[float, float], generator: torch.Generator
) -> Box:
    """Sample the rectangle of `RandomResizedCrop`.

    Its share of the image's area and the logarithm of its width / height are uniformly
    distributed. If it does not fit in ten tries, the largest centered rectangle of a permitted
    shape is returned.

    Args:
        height: Height of the image, in pixels.
        width: Its width, in pixels.
        scale: Smallest and largest share of its area.
        generator: CPU generator.
    """
    log_ratio = torch.log(torch.tensor(_RATIO)).tolist()
    for _ in range(_TRIES):
        area = height * width * _uniform(*scale, generator)
        ratio = torch.exp(torch.empty(1).uniform_(*log_ratio, generator=generator)).item()
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(torch.randint(0, height - h + 1, (1,), generator=generator))
            left = int(torch.randint(0, width - w + 1, (1,), generator=generator))
            return Box(top, left, h, w)
    w, h = width, height
    if width / height < min(_RATIO):
        h = round(width / min(_RATIO))
    elif width / height > max(_RATIO):
        w = round(height * max(_RATIO))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def resized_crop(
    image: Tensor, side: int, scale: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Cut out a random rectangle and resize it to ``side`` × ``side`` pixels, antialiased.

    Args:
        image: uint8, (channels, height, width).
        side: Height and width of the result, in pixels.
        scale: Smallest and largest share of the image's area.
        generator: CPU generator.
    """
    box = crop_box(image.shape[-2], image.shape[-1], scale, generator)
    resized: Tensor = import_transforms().resized_crop(
        image, box.top, box.left, box.height, box.width, [side, side], antialias=True
    )
    return resized


def color_jitter(
    image: Tensor, strengths: tuple[float, float, float, float], generator: torch.Generator
) -> Tensor:
    """Change brightness, contrast, saturation and hue by random factors, in random order.

    They are changed by Pillow, as in the authors' code; torchvision's change of the hue of a
    tensor is slower.

    Args:
        image: uint8, (1 or 3, height, width).
        strengths: The factors of the first three are in [max(0, 1 - strength), 1 + strength]; hue
            is shifted by a value in [-strength, strength] of the color circle. A change of strength
            0 is off.
        generator: CPU generator.
    """
    transforms = import_transforms()
    changes = (
        transforms.adjust_brightness,
        transforms.adjust_contrast,
        transforms.adjust_saturation,
        transforms.adjust_hue,
    )
    order = torch.randperm(len(changes), generator=generator).tolist()
    factors: list[float | None] = []
    for number, strength in enumerate(strengths):
        center = 0.0 if number == 3 else 1.0
        low = -strength if number == 3 else max(0.0, center - strength)
        factors.append(_uniform(low, center + strength, generator) if strength > 0 else None)
    changed = transforms.to_pil_image(image)
    for number in order:
        if (factor := factors[number]) is not None:
            changed = changes[number](changed, factor)
    jittered: Tensor = transforms.pil_to_tensor(changed)
    return jittered


def change(
    image: Tensor, side: int, augment: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a training image and the center of its cutout.

    Args:
        image: uint8, (channels, height, width); of the final size if the crop is ``padded``.
        side: Height and width of the result, in pixels.
        augment: The changes, as returned by `fitted`.
        generator: CPU generator. A change that is off samples nothing from it.

    Returns:
        The image, uint8, (channels, side, side), and the row and column of the center, int64, (2,);
        zeros without a cutout, which is applied to normalized images.
    """
    if augment.crop == "resized":
        image = resized_crop(image, side, augment.crop_scale, generator)
    elif augment.crop_padding:
        offsets = torch.randint(2 * augment.crop_padding + 1, (1, 2), generator=generator)
        image = random_crop(image[None], offsets, augment.crop_padding)[0]
    if augment.flip and torch.rand(1, generator=generator) < 0.5:
        image = image.flip(-1)
    if any(augment.color_jitter):
        image = color_jitter(image, augment.color_jitter, generator)
    center = torch.zeros(2, dtype=torch.int64)
    if augment.cutout:
        center = torch.randint(side, (2,), generator=generator)
    return image, center


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return float(torch.empty(1).uniform_(low, high, generator=generator).item())
