"""Decoding of an image file to 8-bit RGB as it is meant to be displayed."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.Image import Resampling, Transpose
from torch import Tensor

from tune_nas.config import DataConfig
from tune_nas.errors import DataError, DataUnavailableError

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# By content, which may differ from the file name. Pillow reads more formats, some of them (EPS) by
# starting another program.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_ORIENTATION, _BITS, _PHOTOMETRIC = 274, 258, 262  # tags of TIFF, the first of EXIF too
_WHITE_IS_ZERO = 0


def read_image(file: Path, config: DataConfig) -> Tensor:
    """Read an image file as uint8, (3, height, width).

    It is turned upright by its EXIF orientation. Gray values of 9 to 16 bits are scaled by their
    full range, transparent pixels are blended with `DataConfig.background`, and gray becomes RGB
    with three equal channels. Only the first frame is read; color profiles are not applied.

    Args:
        file: The file.
        config: Resolution, fit and background.

    Raises:
        DataError: If it is damaged, or its values have no defined range (32-bit gray).
    """
    try:
        with Image.open(file, formats=_formats()) as opened:
            opened.load()  # completes the read; for TIFF, applies the orientation
            turn = opened.getexif().get(_ORIENTATION)
            image = _fitted(_upright(_rgb(opened, config.background), turn), config)
    except DataError as error:
        raise DataError(f"data.dir: '{file}' {error}") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        struct.error,
        MemoryError,
        Image.DecompressionBombError,
    ) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.errno is not None:  # the file, not the image
            raise DataUnavailableError(
                f"data.dir: '{file}' cannot be read ({error.strerror})"
            ) from error
        raise DataError(f"data.dir: '{file}' is not a readable image ({cause})") from error
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@cache
def _formats() -> tuple[str, ...]:
    """Return the supported formats that the installed Pillow can read."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _upright(image: Image.Image, turn: object) -> Image.Image:
    """Return an image turned by its EXIF orientation, 1 (upright) to 8."""
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    method = turns.get(turn) if isinstance(turn, int) else None
    return image if method is None else image.transpose(method)


def _rgb(image: Image.Image, background: str) -> Image.Image:
    """Return a loaded image in RGB, 8 bits."""
    if image.mode.startswith(("I", "F")):
        image = _gray_of_8_bits(image)
    if image.has_transparency_data:
        behind = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(behind, image.convert("RGBA"))
    return image.convert("RGB")


def _gray_of_8_bits(image: Image.Image) -> Image.Image:
    """Return a gray image of more than 8 bits with its full range scaled to [0, 255].

    Raises:
        DataError: If its range is not defined.
    """
    tags: Any = getattr(image, "tag_v2", {})
    # Pillow scales PGM to 16 bits. In TIFF, "I" and "F" are 32 bits or signed: any range.
    if not (image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")):
        kind = "floating-point" if image.mode == "F" else "32-bit or signed"
        raise DataError(
            f"has {kind} gray values, whose range no file states; save it with 8 or 16 bits"
        )
    bits = tags.get(_BITS, (16,))[0]
    full = 2**bits - 1
    values = np.array(image).astype(np.int64)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow does not change these
        values = full - values
    scaled = Image.fromarray(((values * 255 + full // 2) // full).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):  # this value is transparent
        alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        scaled.putalpha(Image.fromarray(alpha))
    return scaled


def _fitted(image: Image.Image, config: DataConfig) -> Image.Image:
    """Return an image in the trial's resolution, antialiased (filters widen with the reduction)."""
    if config.resolution is None:
        return image
    size = (config.resolution, config.resolution)
    if config.fit == "stretch":
        return image.resize(size, Resampling.BILINEAR)
    if config.fit == "pad":
        return ImageOps.pad(image, size, Resampling.BILINEAR, color=config.background)
    return ImageOps.fit(image, size, Resampling.BILINEAR)
