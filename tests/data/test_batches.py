"""The training stream: passes, order, augmentation, and going on from any position."""

import io

import pytest
import torch
from torch import Tensor

from tune_nas.config import AugmentConfig
from tune_nas.data import (
    Batches,
    Images,
    cutout,
    draw,
    evaluation_batches,
    flip,
    normalize,
    random_crop,
)
from tune_nas.errors import CheckpointError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
AUGMENT = AugmentConfig(crop_padding=2, cutout=3)


def _images(n: int = 23) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (n, 3, 6, 6), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(n))


def _batches(
    n: int = 23, size: int = 5, seed: int = 1, augment: AugmentConfig | None = AUGMENT
) -> Batches:
    generator = torch.Generator().manual_seed(seed)
    return Batches(_images(n), size, generator, augment, MEAN, STD, torch.float64)


def _by_hand(images: Tensor) -> Tensor:
    scaled = images.double() / 255
    return (scaled - torch.tensor(MEAN).double()[:, None, None]) / torch.tensor(STD).double()[
        :, None, None
    ]


def _equal(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_a_pass_has_every_image_at_most_once_and_drops_the_short_batch() -> None:
    batches = _batches()
    assert batches.steps_per_epoch == 4
    passes = [[batches.next()[1] for _ in range(4)] for _ in range(2)]
    for one in passes:
        seen = torch.cat(one)
        assert all(labels.shape == (5,) for labels in one)
        assert len(set(seen.tolist())) == 20
    assert not torch.equal(torch.cat(passes[0]), torch.cat(passes[1]))


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    batches = _batches(n=3, size=64)
    assert batches.steps_per_epoch == 1
    for _ in range(3):
        images, labels = batches.next()
        assert images.shape == (3, 3, 6, 6)
        assert sorted(labels.tolist()) == [0, 1, 2]


def test_images_without_augmentation_are_normalized_and_belong_to_their_labels() -> None:
    batches, images = _batches(augment=None), _images()
    for _ in range(9):
        batch, labels = batches.next()
        assert batch.dtype == torch.float64
        assert torch.allclose(batch, _by_hand(images.images[labels]), rtol=0, atol=1e-6)


def test_the_stream_is_crop_then_flip_then_normalization_then_cutout() -> None:
    batches, images = _batches(), _images()
    generator = torch.Generator().manual_seed(1)
    mean = torch.tensor(MEAN, dtype=torch.float64)[None, :, None, None] * 255
    std = torch.tensor(STD, dtype=torch.float64)[None, :, None, None] * 255
    for _ in range(2):
        order = torch.randperm(23, generator=generator)
        draws = draw(AUGMENT, 23, 6, 6, generator)
        assert draws.offsets is not None and draws.flips is not None and draws.centers is not None
        for step in range(4):
            part = slice(5 * step, 5 * step + 5)
            expected = random_crop(images.images[order[part]], draws.offsets[part], 2)
            expected = flip(expected, draws.flips[part])
            expected = normalize(expected, mean, std, torch.float64)
            expected = cutout(expected, draws.centers[part], 3)
            assert _equal(batches.next(), (expected, order[part]))


def test_same_seed_same_stream_other_seed_another() -> None:
    first, second, other = _batches(), _batches(), _batches(seed=2)
    for _ in range(9):
        batch = first.next()
        assert _equal(batch, second.next())
        assert not _equal(batch, other.next())


def test_a_batch_is_a_function_of_what_is_picked_also_from_memory_that_is_filled_anew() -> None:
    straight, parted = _batches(), _batches()
    held = _batches().pick().clone()
    for _ in range(6):  # over the end of a pass
        picked = parted.pick()
        held.copy_(picked)
        for batch in (parted.make(picked), parted.make(held)):
            assert torch.equal(batch[1], picked.index)  # image i has the label i
        images, labels = straight.next()
        assert torch.equal(images, batch[0]) and torch.equal(labels, batch[1])


def test_the_global_generator_is_neither_used_nor_needed() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    _batches().next()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("position", range(10))
def test_a_resumed_stream_goes_on_to_the_bit(position: int) -> None:
    straight = _batches()
    for _ in range(position):
        straight.next()
    state = straight.state_dict()
    rest = [straight.next() for _ in range(11)]
    resumed = _batches(seed=77)
    resumed.next()
    resumed.load_state_dict(state)
    for batch in rest:
        assert _equal(resumed.next(), batch)
    assert torch.equal(resumed.state_dict()["generator"], straight.state_dict()["generator"])


def test_the_state_is_a_copy_and_can_be_loaded_safely() -> None:
    batches = _batches()
    batches.next()
    buffer = io.BytesIO()
    torch.save(batches.state_dict(), buffer)
    following = batches.next()
    buffer.seek(0)
    resumed = _batches(seed=9)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    assert _equal(resumed.next(), following)


@pytest.mark.parametrize(("n", "size", "key"), [(22, 5, "images"), (23, 6, "batch_size")])
def test_a_state_of_another_stream_is_refused(n: int, size: int, key: str) -> None:
    with pytest.raises(CheckpointError, match=key):
        _batches(n=n, size=size).load_state_dict(_batches().state_dict())


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="batch_size is 0, but must be >= 1"):
        _batches(size=0)
    with pytest.raises(ValueError, match="images is empty"):
        _batches(n=0)


def test_evaluation_has_every_image_once_in_order() -> None:
    images = _images()
    batches = list(evaluation_batches(images, 5, MEAN, STD, torch.float64))
    assert [labels.shape[0] for _, labels in batches] == [5, 5, 5, 5, 3]
    assert torch.equal(torch.cat([labels for _, labels in batches]), torch.arange(23))
    pixels = torch.cat([batch for batch, _ in batches])
    assert torch.allclose(pixels, _by_hand(images.images), rtol=0, atol=1e-6)


def test_a_last_batch_that_is_too_small_joins_the_one_before() -> None:
    images = _images(9)

    def sizes(n: int, smallest: int) -> list[int]:
        return [
            len(labels)
            for _, labels in evaluation_batches(images[:n], 4, MEAN, STD, smallest=smallest)
        ]

    assert (sizes(9, 1), sizes(9, 2)) == ([4, 4, 1], [4, 5])
    assert (sizes(8, 2), sizes(1, 2)) == ([4, 4], [1])
    whole = torch.cat([batch for batch, _ in evaluation_batches(images, 4, MEAN, STD, smallest=2)])
    (expected, _), *_ = evaluation_batches(images, 9, MEAN, STD)
    assert torch.equal(whole, expected)
