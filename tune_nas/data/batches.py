"""Batches of images in memory: a seeded, endless, resumable stream, and ordered passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.config import AugmentConfig
from tune_nas.data.augment import Draws, cutout, draw, flip, random_crop
from tune_nas.data.images import Images
from tune_nas.errors import CheckpointError


def normalize(images: Tensor, mean: Tensor, std: Tensor, dtype: torch.dtype) -> Tensor:
    """Return floating-point images with mean 0 and standard deviation 1.

    Args:
        images: uint8, (n, channels, height, width).
        mean: Mean of each channel in the range [0, 255], (1, channels, 1, 1), of type `dtype`.
        std: Standard deviation of each channel, likewise.
        dtype: Type of the result.
    """
    return images.to(dtype).sub_(mean).div_(std)


def per_channel(values: Sequence[float], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return values of the channels in [0, 1] as a tensor for `normalize`."""
    scaled = 255.0 * torch.tensor(values, dtype=torch.float64)
    return scaled.to(dtype).to(device)[None, :, None, None]


@dataclass(frozen=True)
class Pick:
    """The image indices and random changes of a batch, on the images' device.

    Args:
        index: Indices of the images, int64, (batch,).
        draws: Random changes of the images.
    """

    index: Tensor
    draws: Draws

    def clone(self) -> Pick:
        """Return a copy that shares no memory."""
        return Pick(self.index.clone(), self.draws.clone())

    def copy_(self, other: Pick) -> None:
        """Copy the values of another pick of the same shapes."""
        self.index.copy_(other.index)
        self.draws.copy_(other.draws)


class Batches:
    """An endless stream of augmented training batches in a seeded random order.

    Each pass over the images is reshuffled; an incomplete last batch is dropped, unless there are
    fewer images than `batch_size`: then every batch is the whole set. A stream resumes bit for bit
    from a loaded state, at any position.

    Args:
        images: The images, on the trial's device.
        batch_size: Images per batch, at least 1.
        generator: CPU generator from which order and augmentation are sampled, once per pass. The
            stream's state contains the generator's.
        augment: Random changes, as returned by `fitted`; None for none.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel, in the same units.
        dtype: Type of the batches.

    Raises:
        ValueError: If there are no images, or `batch_size` is below 1.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        generator: torch.Generator,
        augment: AugmentConfig | None,
        mean: Sequence[float],
        std: Sequence[float],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but must be >= 1")
        if len(images) == 0:
            raise ValueError("images is empty, but must have at least 1 image")
        self._images = images
        self._batch_size = min(batch_size, len(images))
        self._generator = generator
        self._augment = augment
        device = images.images.device
        self._mean = per_channel(mean, device, dtype)
        self._std = per_channel(std, device, dtype)
        self._dtype = dtype
        # The generator's state at the start of the pass: order and random changes follow from it.
        self._pass_start: Tensor | None = None
        self._position = 0
        self._order = torch.empty(0, dtype=torch.int64)
        self._draws = Draws()
        self._rows: Tensor | None = None

    @property
    def batch_size(self) -> int:
        """Number of images per batch."""
        return self._batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches per pass."""
        return len(self._images) // self._batch_size

    def resize(self, batch_size: int) -> None:
        """Change the batch size; if it differs, a new pass starts.

        Raises:
            ValueError: If `batch_size` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but must be >= 1")
        size = min(batch_size, len(self._images))
        if size != self._batch_size:
            self._batch_size, self._pass_start = size, None

    def select(self, rows: Sequence[int]) -> None:
        """Let `next` return only the images at some positions of each batch."""
        self._rows = torch.tensor(rows, device=self._images.images.device)

    def next(self) -> tuple[Tensor, Tensor]:
        """Return the next batch, as returned by `make`, or the selected part of it."""
        pick = self.pick()
        if self._rows is not None:
            pick = Pick(pick.index[self._rows], pick.draws[self._rows])
        return self.make(pick)

    def pick(self) -> Pick:
        """Return the indices and changes of the next batch as views, without computing anything."""
        if self._pass_start is None or self._position == self.steps_per_epoch:
            self._pass_start = self._generator.get_state()
            self._draw_pass(self._generator)
            self._position = 0
        start = self._position * self._batch_size
        part = slice(start, start + self._batch_size)
        self._position += 1
        return Pick(self._order[part], self._draws[part])

    def make(self, pick: Pick) -> tuple[Tensor, Tensor]:
        """Return a batch: a function of the images and the pick, computed on their device.

        Returns:
            The normalized images (batch, channels, height, width) and their labels (batch,).
        """
        index, draws = pick.index, pick.draws
        images = self._images.images.index_select(0, index)
        if draws.offsets is not None and self._augment is not None:
            images = random_crop(images, draws.offsets, self._augment.crop_padding)
        if draws.flips is not None:
            images = flip(images, draws.flips)
        batch = normalize(images, self._mean, self._std, self._dtype)
        if draws.centers is not None and self._augment is not None:
            batch = cutout(batch, draws.centers, self._augment.cutout)
        return batch, self._images.labels.index_select(0, index)

    def state_dict(self) -> State:
        """Return the position in the stream: plain numbers and the generator's states."""
        return {
            "images": len(self._images),
            "batch_size": self._batch_size,
            "position": self._position,
            "pass_start": None if self._pass_start is None else self._pass_start.clone(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: State) -> None:
        """Go to the position in the stream at which `state` was saved.

        Raises:
            CheckpointError: If the state belongs to a stream with other images or batches.
        """
        for key, own in (("images", len(self._images)), ("batch_size", self._batch_size)):
            if state[key] != own:
                raise CheckpointError(
                    f"the state of a data stream has {key} {state[key]}, but this trial has {own}"
                )
        self._position = state["position"]
        self._pass_start = state["pass_start"]
        if self._pass_start is not None:
            generator = torch.Generator()
            generator.set_state(self._pass_start)
            self._draw_pass(generator)
        self._generator.set_state(state["generator"])

    def close(self) -> None:
        """Do nothing: images in memory are read by no other process."""

    def _draw_pass(self, generator: torch.Generator) -> None:
        """Sample order and augmentation of a whole pass, in a single transfer to the device."""
        n, _, height, width = self._images.images.shape
        device = self._images.images.device
        self._order = torch.randperm(n, generator=generator).to(device)
        self._draws = draw(self._augment, n, height, width, generator).to(device)


def evaluation_batches(
    images: Images,
    batch_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
    smallest: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all images in order, normalized, without augmentation; the last batch may be short.

    Args:
        images: The images, on the trial's device.
        batch_size: Images per batch, at least 1.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel, in the same units.
        dtype: Type of the batches.
        smallest: Minimum size of the last batch; fewer images are added to the previous batch.
    """
    device = images.images.device
    shift, scale = per_channel(mean, device, dtype), per_channel(std, device, dtype)
    starts = list(range(0, len(images), batch_size))
    if len(starts) > 1 and len(images) - starts[-1] < smallest:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], len(images)], strict=True):
        part = images[start:end]
        yield normalize(part.images, shift, scale, dtype), part.labels
