"""Tensors of images: their checks, sizes and statistics."""

import numpy as np
import pytest
import torch
from PIL import Image

from tune_nas.data import Images, channel_statistics, resize


def _pixels(n: int, channels: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(256, (n, channels, side, side), dtype=torch.uint8, generator=generator)


def test_statistics_are_those_of_the_pixels() -> None:
    pixels = _pixels(50, 3, 8)
    pixels[:, 1] //= 3
    mean, std = channel_statistics(pixels)
    scaled = pixels.double() / 255
    assert mean == pytest.approx(scaled.mean(dim=(0, 2, 3)).tolist(), abs=1e-12)
    expected = scaled.std(dim=(0, 2, 3), correction=0).tolist()
    assert std == pytest.approx(expected, abs=1e-12)


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    assert channel_statistics(torch.full((4, 1, 2, 2), 51, dtype=torch.uint8)) == ((0.2,), (1.0,))


@pytest.mark.parametrize(("side", "wanted"), [(32, 16), (32, 8), (32, 24), (8, 16)])
def test_resize_is_pillows_antialiased_bilinear(side: int, wanted: int) -> None:
    pixels = _pixels(5, 3, side)
    result = resize(pixels, wanted)
    assert result.dtype == torch.uint8
    for image, small in zip(pixels, result, strict=True):
        pillow = Image.fromarray(image.permute(1, 2, 0).numpy())
        truth = np.array(pillow.resize((wanted, wanted), Image.Resampling.BILINEAR))
        difference = small.permute(1, 2, 0).numpy().astype(int) - truth.astype(int)
        # Both work in fixed point, with roundings of their own.
        assert np.abs(difference).max() <= 1


def test_resize_to_the_same_side_is_the_same() -> None:
    pixels = _pixels(2, 1, 8)
    assert resize(pixels, 8) is pixels


def test_wrong_types_and_shapes_are_refused() -> None:
    pixels = _pixels(3, 1, 4)
    with pytest.raises(ValueError, match=r"images is torch\.float32 of 4 dimensions"):
        Images(pixels.float(), torch.arange(3))
    with pytest.raises(ValueError, match=r"labels is .* of shape \(2,\), but must be int64"):
        Images(pixels, torch.arange(2))
