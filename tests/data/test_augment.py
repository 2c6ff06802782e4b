"""Batched augmentation against the plain loop over images."""

import pytest
import torch
from torch import Tensor

from tune_nas.config import AugmentConfig, TrialConfig
from tune_nas.data import Batches, Images, cutout, draw, fitted, flip, random_crop
from tune_nas.errors import ConfigError
from tune_nas.sweep.resolve import base_trials, load_sweep


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
    assert draws.centers is not None
    batch = cutout(images, draws.centers, size)
    for image, result, (y, x) in zip(images, batch, draws.centers.tolist(), strict=True):
        assert torch.equal(result, _slow_cutout(image, y, x, size))
        assert 0 < int((result[0] == 0).sum()) <= size**2


def test_functions_leave_their_input_alone() -> None:
    images = _images(4)
    before = images.clone()
    centers = torch.full((4, 2), 3)
    random_crop(images, centers, 2)
    flip(images, torch.ones(4, dtype=torch.bool))
    cutout(images, centers, 4)
    assert torch.equal(images, before)


def test_draws_cover_all_values_evenly() -> None:
    config = AugmentConfig(crop_padding=2, cutout=3)
    draws = draw(config, 20000, 6, 8, torch.Generator().manual_seed(0))
    assert draws.offsets is not None and draws.flips is not None and draws.centers is not None
    for values, n_values in (
        (draws.offsets[:, 0], 5),
        (draws.offsets[:, 1], 5),
        (draws.flips.long(), 2),
        (draws.centers[:, 0], 6),
        (draws.centers[:, 1], 8),
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
        assert (draws.offsets, draws.flips, draws.centers) == (None, None, None)
    assert torch.equal(generator.get_state(), before)


PUBLISHED = TrialConfig().retrain.augment


def test_on_32_pixels_the_published_augmentation_is_as_stated_bit_for_bit() -> None:
    at_32 = fitted(PUBLISHED, 32, mirrors=True, key="retrain.augment")
    as_stated = AugmentConfig(crop_padding=4, flip=True, cutout=16)
    assert at_32 == as_stated
    search = fitted(TrialConfig().data.augment, 32, mirrors=True, key="data.augment")
    assert search == AugmentConfig(crop_padding=4, flip=True, cutout=0)
    images = Images(_images(6, 3, 32, 32), torch.arange(6))
    streams = [
        Batches(images, 3, torch.Generator().manual_seed(9), augment, (0.5,) * 3, (0.2,) * 3)
        for augment in (at_32, as_stated)
    ]
    for _ in range(4):
        (one, labels), (other, _) = (stream.next() for stream in streams)
        assert torch.equal(one, other) and len(labels) == 3


@pytest.mark.parametrize(
    ("side", "padding", "square"),
    # 4 · side / 32 and 16 · side / 32, to the nearest pixel, halves up.
    [(4, 1, 2), (8, 1, 4), (12, 2, 6), (16, 2, 8), (28, 4, 14), (64, 8, 32), (224, 28, 112)],
)
def test_augmentation_scales_with_the_image(side: int, padding: int, square: int) -> None:
    result = fitted(PUBLISHED, side, mirrors=True, key="retrain.augment")
    assert result == AugmentConfig(crop_padding=padding, flip=True, cutout=square)


def test_sizes_without_a_reference_are_pixels_of_the_images() -> None:
    stated = AugmentConfig(crop_padding=1, flip=False, cutout=3)
    assert fitted(stated, 8, mirrors=True, key="data.augment") == stated


def _can_be_blank(side: int, padding: int, square: int) -> bool:
    """Whether some crop and cutout leave nothing of an image of ones; all of them are tried."""
    shifts = torch.cartesian_prod(*[torch.arange(2 * padding + 1)] * 2).view(-1, 2)
    places = torch.cartesian_prod(*[torch.arange(side)] * 2).view(-1, 2)
    images = random_crop(torch.ones(len(shifts), 1, side, side), shifts, padding)
    images = images.repeat_interleave(len(places), dim=0)
    left = cutout(images, places.repeat(len(shifts), 1), square)
    return bool((left.flatten(1).sum(dim=1) == 0).any())


@pytest.mark.parametrize("padding", range(0, 7))
@pytest.mark.parametrize("square", range(0, 7))
def test_exactly_what_can_blank_an_image_is_refused(padding: int, square: int) -> None:
    side, stated = 5, AugmentConfig(crop_padding=padding, cutout=square)
    if not _can_be_blank(side, padding, square):
        assert fitted(stated, side, mirrors=False, key="data.augment").cutout == square
        return
    with pytest.raises(ConfigError, match=r"^data\.augment can blank whole images: .* than 5,"):
        fitted(stated, side, mirrors=False, key="data.augment")


def test_the_refusal_names_what_would_be_right() -> None:
    with pytest.raises(ConfigError, match=r"add up to 20 pixels.*set a\.reference_size to"):
        fitted(AugmentConfig(cutout=16), 8, mirrors=True, key="a")
    with pytest.raises(ConfigError, match=r"cutout 8 add up .* from a\.reference_size, 32"):
        fitted(AugmentConfig(cutout=32, reference_size=32), 8, mirrors=True, key="a")


@pytest.mark.parametrize("mirrors", [True, False])
def test_flips_are_the_data_sets_unless_the_trial_says_so(mirrors: bool) -> None:
    for wanted, expected in (("auto", mirrors), (True, True), (False, False)):
        config = AugmentConfig(crop_padding=0, flip=wanted)  # type: ignore[arg-type]
        assert fitted(config, 8, mirrors=mirrors, key="data.augment").flip is expected


@pytest.mark.parametrize("name", ["lambda", "activation", "order", "learning-rate", "collapse"])
def test_shipped_sweeps_need_no_exception(name: str) -> None:
    trial = base_trials(load_sweep(name)).first
    for augment in (trial.data.augment, trial.retrain.augment):
        assert augment.reference_size == 32
    on_digits = trial.data.name == "digits"
    side = 8 if on_digits else trial.data.resolution
    assert side is not None
    search = fitted(trial.data.augment, side, mirrors=not on_digits, key="data.augment")
    # as these sweeps had it written out while sizes did not scale
    expected = AugmentConfig(crop_padding=side // 8, flip=not on_digits, cutout=0)
    assert search == expected
