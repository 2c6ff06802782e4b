"""Random changes of single images against torchvision's transforms with the same seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tune_nas.config import AugmentConfig
from tune_nas.data.imagenet_folder import center_crop
from tune_nas.data.random_image import change, crop_box
from tune_nas.data.vision import import_transforms

DARTS = AugmentConfig(
    crop="resized", crop_padding=0, flip=True, color_jitter=(0.4, 0.4, 0.4, 0.2), cutout=0
)


def image_of(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def changed(image: Tensor, side: int, augment: AugmentConfig, seed: int) -> Tensor:
    return change(image, side, augment, torch.Generator().manual_seed(seed))[0]


def reference(image: Tensor, seed: int, scale: tuple[float, float], *jitter: float) -> Tensor:
    import_transforms()
    from torchvision.transforms import v2

    steps = [v2.RandomResizedCrop(24, scale=scale), v2.RandomHorizontalFlip()]
    if jitter:
        steps += [v2.ToPILImage(), v2.ColorJitter(*jitter), v2.PILToTensor()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        result: Tensor = v2.Compose(steps)(image)
    return result


@pytest.mark.parametrize(("height", "width"), [(40, 50), (30, 200), (200, 30), (24, 24), (7, 9)])
@pytest.mark.parametrize("jitter", [(0.4, 0.4, 0.4, 0.2), (0.0, 1.5, 0.0, 0.5), ()])
def test_the_same_seed_gives_torchvisions_result(
    height: int, width: int, jitter: tuple[float, ...]
) -> None:
    image = image_of(height, width)
    strengths = {"color_jitter": jitter} if jitter else {}
    for seed in range(20):
        scale = (0.08, 1.0) if seed % 2 else (0.5, 0.6)
        update = {"color_jitter": (0.0,) * 4, "crop_scale": scale, **strengths}
        found = changed(image, 24, DARTS.model_copy(update=update), seed)
        assert torch.equal(found, reference(image, seed, scale, *jitter))


def test_a_box_that_never_fits_is_the_largest_centered_one() -> None:
    generator = torch.Generator().manual_seed(0)
    wide = crop_box(10, 1000, (0.9, 1.0), generator)
    assert (wide.top, wide.height, wide.width) == (0, 10, 13)  # 4 / 3
    assert wide.left == (1000 - 13) // 2
    tall = crop_box(1000, 9, (0.9, 1.0), generator)
    assert (tall.left, tall.width, tall.height) == (0, 9, 12)
    assert tall.top == (1000 - 12) // 2


def test_padded_crops_shift_and_flips_mirror() -> None:
    image = image_of(8, 8)
    augment = AugmentConfig(crop_padding=2, flip=True)
    seen = set()
    for seed in range(200):
        found = changed(image, 8, augment, seed)
        places = [
            (down, right, mirrored)
            for mirrored in (False, True)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(found, shifted(image, down, right, mirrored))
        ]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 50  # all of them occur in 200 draws with this sequence of seeds


def shifted(image: Tensor, down: int, right: int, mirrored: bool) -> Tensor:
    result = torch.zeros_like(image)
    for y in range(8):
        for x in range(8):
            if 0 <= y - down < 8 and 0 <= x - right < 8:
                result[:, y, x] = image[:, y - down, x - right]
    return result.flip(2) if mirrored else result


def test_a_cutouts_center_is_anywhere_in_the_image() -> None:
    augment = AugmentConfig(crop_padding=0, flip=False, cutout=3)
    centers = {
        tuple(change(image_of(4, 4), 4, augment, torch.Generator().manual_seed(seed))[1].tolist())
        for seed in range(200)
    }
    assert centers == {(y, x) for y in range(4) for x in range(4)}


def test_changes_that_are_off_sample_nothing() -> None:
    augment = AugmentConfig(crop_padding=0, flip=False, cutout=0)
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    image, center = change(image_of(6, 6), 6, augment, generator)
    assert torch.equal(image, image_of(6, 6)) and center.tolist() == [0, 0]
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 256), (100, 90)])
def test_the_evaluation_is_that_of_darts(height: int, width: int) -> None:
    import_transforms()
    from torchvision.transforms import v2

    image = image_of(height, width)
    expected = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image)
    assert torch.equal(center_crop(image, 224), expected)
