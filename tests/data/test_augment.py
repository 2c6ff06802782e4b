"""Batched augmentation against the plain loop over images."""

import pytest
import torch
from torch import Tensor

from tune_nas.config import AugmentConfig
from tune_nas.data import cutout, draw, flip, random_crop


def _images(n: int, channels: int = 3, height: int = 7, width: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    # 1 … 255, so that a zero can only come from padding or cutout.
    return torch.randint(
        1, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator
    )


def _slow_crop(image: Tensor, top: int, left: int, padding: int) -> Tensor:
    channels, height, width = image.shape
    result = torch.zeros_like(image)
    for channel in range(channels):
        for row in range(height):
            for column in range(width):
                y, x = row + top - padding, column + left - padding
                if 0 <= y < height and 0 <= x < width:
                    result[channel, row, column] = image[channel, y, x]
    return result


def _slow_cutout(image: Tensor, y: int, x: int, size: int) -> Tensor:
    result = image.clone()
    for row in range(y - size // 2, y - size // 2 + size):
        for column in range(x - size // 2, x - size // 2 + size):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                result[:, row, column] = 0
    return result


@pytest.mark.parametrize("padding", [1, 2, 4, 12])
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_equals_the_loop(padding: int, channels: int) -> None:
    images = _images(16, channels)
    config = AugmentConfig(crop_padding=padding, flip=False)
    draws = draw(config, 16, 7, 9, torch.Generator().manual_seed(padding))
    assert draws.offsets is not None
    batch = random_crop(images, draws.offsets, padding)
    for image, cropped, (top, left) in zip(images, batch, draws.offsets.tolist(), strict=True):
        assert torch.equal(cropped, _slow_crop(image, top, left, padding))


def test_crop_in_the_middle_changes_nothing_and_at_the_corners_shifts() -> None:
    images = _images(3)
    offsets = torch.tensor([[2, 2], [0, 0], [4, 4]])
    same, down_right, up_left = random_crop(images, offsets, 2)
    assert torch.equal(same, images[0])
    assert torch.equal(down_right[:, 2:, 2:], images[1][:, :-2, :-2])
    assert not down_right[:, :2].any() and not down_right[:, :, :2].any()
    assert torch.equal(up_left[:, :-2, :-2], images[2][:, 2:, 2:])
    assert not up_left[:, -2:].any() and not up_left[:, :, -2:].any()


def test_crop_takes_any_memory_format_and_type() -> None:
    images, offsets = _images(6), torch.tensor([[0, 1], [2, 3], [4, 4], [1, 0], [3, 3], [2, 2]])
    expected = random_crop(images, offsets, 2)
    last = images.to(memory_format=torch.channels_last)
    assert torch.equal(random_crop(last, offsets, 2), expected)
    assert torch.equal(random_crop(images.double(), offsets, 2), expected.double())


def test_flip_equals_the_loop_and_undoes_itself() -> None:
    images = _images(8)
    flips = torch.tensor([True, False, True, True, False, False, True, False])
    batch = flip(images, flips)
    for image, flipped, done in zip(images, batch, flips.tolist(), strict=True):
        expected = torch.stack([image[:, :, -1 - column] for column in range(9)], dim=2)
        assert torch.equal(flipped, expected if done else image)
    assert torch.equal(flip(batch, flips), images)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 16])
def test_cutout_equals_the_loop(size: int) -> None:
    images = _images(32).double() - 300.0
    config = AugmentConfig(crop_padding=0, flip=False, cutout=size)
    draws = draw(config, 32, 7, 9, torch.Generator().manual_seed(size))
    assert draws.centres is not None
    batch = cutout(images, draws.centres, size)
    for image, result, (y, x) in zip(images, batch, draws.centres.tolist(), strict=True):
        assert torch.equal(result, _slow_cutout(image, y, x, size))
        assert 0 < int((result[0] == 0).sum()) <= size**2


def test_functions_leave_their_input_alone() -> None:
    images = _images(4)
    before = images.clone()
    centres = torch.full((4, 2), 3)
    random_crop(images, centres, 2)
    flip(images, torch.ones(4, dtype=torch.bool))
    cutout(images, centres, 4)
    assert torch.equal(images, before)


def test_draws_cover_all_values_evenly() -> None:
    config = AugmentConfig(crop_padding=2, cutout=3)
    draws = draw(config, 20000, 6, 8, torch.Generator().manual_seed(0))
    assert draws.offsets is not None and draws.flips is not None and draws.centres is not None
    for values, n_values in (
        (draws.offsets[:, 0], 5),
        (draws.offsets[:, 1], 5),
        (draws.flips.long(), 2),
        (draws.centres[:, 0], 6),
        (draws.centres[:, 1], 8),
    ):
        shares = torch.bincount(values, minlength=n_values) / 20000
        assert shares.shape == (n_values,)
        # Six standard deviations of a share.
        allowed = 6 * (1 / n_values * (1 - 1 / n_values) / 20000) ** 0.5
        assert torch.allclose(shares, torch.tensor(1 / n_values), rtol=0, atol=allowed)


def test_what_is_off_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    off = AugmentConfig(crop_padding=0, flip=False, cutout=0)
    for config in (off, None):
        draws = draw(config, 10, 8, 8, generator)
        assert (draws.offsets, draws.flips, draws.centres) == (None, None, None)
    assert torch.equal(generator.get_state(), before)
