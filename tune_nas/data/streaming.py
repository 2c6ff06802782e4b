"""Images that are read when a retraining run needs them, in several processes.

The order of the images is a function of the seed and the epoch, the random changes of an image one
of the seed, the epoch and its index. A stream thus resumes bit for bit at any position, with any
number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.config import AugmentConfig
from tune_nas.data.augment import cutout, fitted
from tune_nas.data.batches import normalize, per_channel
from tune_nas.data.data_source import DataSource
from tune_nas.data.dataset_registry import Source
from tune_nas.data.images import Images
from tune_nas.data.random_image import change
from tune_nas.data.reading_processes import read_ahead
from tune_nas.data.vision import import_transforms
from tune_nas.errors import CheckpointError, DataError, TuneNasError
from tune_nas.seeds import make_generator

Numbers: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"
# NumPy arrays go through a pipe; tensors would need shared memory, which containers limit.
Example: TypeAlias = tuple[Tensor, int, Tensor]
Arrays: TypeAlias = tuple[Numbers, Numbers, Numbers]
Batch: TypeAlias = Arrays | TuneNasError
_NO_CENTER = torch.zeros(2, dtype=torch.int64)


@dataclass(frozen=True)
class StreamedImages:
    """Images that are read when needed.

    Attributes:
        source: Their part of the data set.
        index: Their indices in it, int64, (n,).
        side: Height and width in a batch, in pixels.
    """

    source: Source
    index: Tensor
    side: int

    def __len__(self) -> int:
        return len(self.index)

    def read(self, index: int) -> Tensor:
        """Return an image of the data set as uint8, (channels, side, side).

        Raises:
            DataError: If it cannot be read, or has another size.
        """
        image = self.source.read(torch.tensor([index]))[0]
        if image.shape[1:] != (self.side, self.side):
            raise DataError(
                f"image {index} of a {self.side}-pixel data set has {image.shape[2]} × "
                f"{image.shape[1]} pixels; set data.resolution"
            )
        return image

    def select(self, positions: Tensor) -> Images:
        """Return the images at some positions, int64, (k,), on the CPU.

        Raises:
            DataError: If one cannot be read, or has another size.
        """
        index = self.index[positions]
        images = torch.stack([self.read(each) for each in index.tolist()])
        return Images(images, self.source.labels[index])


@dataclass(frozen=True)
class StreamedData(DataSource):
    """The data of a retraining run that reads images when it needs them.

    Attributes:
        workers: Number of processes that read images; 0 to read them in this one.
        device: Device of the batches.
    """

    train: StreamedImages
    test: StreamedImages
    workers: int
    device: torch.device

    def train_stream(
        self, batch_size: int, seed: int, augment: AugmentConfig | None, key: str
    ) -> StreamedBatches:
        """Return the stream of training batches; see `DataSource.train_stream`."""
        if augment is not None:
            side, mirrors = self.image_size, self.mirrors
            augment = fitted(augment, side, mirrors=mirrors, key=key, streams=True)
            if augment.crop == "resized" or any(augment.color_jitter):
                import_transforms()  # once, before the processes start
        return StreamedBatches(self, batch_size, seed, augment)

    def test_batches(
        self, batch_size: int, first: int = 0, step: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Return one pass over the test images; see `DataSource.test_batches`."""
        n = len(self.test)
        positions = [range(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
        plan = ([(0, position) for position in batch] for batch in positions[first::step])
        for batch in _read_batches(_Reader(self.test, None, 0), plan, self.workers):
            yield self.on_device(batch)[:2]

    def on_device(self, batch: Arrays) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalized images, labels and centers of cutouts on the device."""
        images, labels, centers = (torch.from_numpy(each).to(self.device) for each in batch)
        mean, std = (
            per_channel(values, self.device, self.dtype) for values in (self.mean, self.std)
        )
        return normalize(images, mean, std, self.dtype), labels, centers


class StreamedBatches:
    """An endless stream of augmented training batches, read in several processes.

    As with `tune_nas.data.Batches`, each pass has a new order, and an incomplete last batch is
    dropped, unless there are fewer images than `batch_size`.

    Args:
        data: The images.
        batch_size: Images per batch, at least 1.
        seed: Seed of order and augmentation.
        augment: Random changes, as returned by `fitted`; None for none.

    Raises:
        ValueError: If there are no images, or `batch_size` is below 1.
    """

    def __init__(
        self, data: StreamedData, batch_size: int, seed: int, augment: AugmentConfig | None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but must be >= 1")
        if len(data.train) == 0:
            raise ValueError("train is empty, but must have at least 1 image")
        self._data, self._seed, self._augment = data, seed, augment
        self._batch_size = min(batch_size, len(data.train))
        self._rows: Sequence[int] | None = None
        self._epoch = self._position = 0
        self._batches: Iterator[Arrays] | None = None

    @property
    def batch_size(self) -> int:
        """Number of images per batch."""
        return self._batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches per pass."""
        return len(self._data.train) // self._batch_size

    def select(self, rows: Sequence[int]) -> None:
        """Let `next` return only some images of each batch; see `TrainStream.select`."""
        self.close()
        self._rows = rows

    def next(self) -> tuple[Tensor, Tensor]:
        """Return the next batch; see `TrainStream.next`."""
        if self._batches is None:
            reader = _Reader(self._data.train, self._augment, self._seed)
            n, place = len(self._data.train), (self._epoch, self._position)
            # no reference to this stream: the processes end as soon as it is not used anymore
            plan = batch_plan(n, self._batch_size, self._seed, *place, rows=self._rows)
            self._batches = _read_batches(reader, plan, self._data.workers)
        try:
            batch = next(self._batches)
        except TuneNasError:
            self.close()
            raise
        self._position += 1
        if self._position == self.steps_per_epoch:
            self._epoch, self._position = self._epoch + 1, 0
        images, labels, centers = self._data.on_device(batch)
        if self._augment is not None and self._augment.cutout:
            images = cutout(images, centers, self._augment.cutout)
        return images, labels

    def state_dict(self) -> State:
        """Return the position in the stream: plain numbers."""
        return {
            "images": len(self._data.train),
            "batch_size": self._batch_size,
            "epoch": self._epoch,
            "position": self._position,
        }

    def load_state_dict(self, state: State) -> None:
        """Go to the position in the stream at which `state` was saved.

        Raises:
            CheckpointError: If the state belongs to a stream with other images or batches.
        """
        for key, own in (("images", len(self._data.train)), ("batch_size", self._batch_size)):
            if state[key] != own:
                raise CheckpointError(
                    f"the state of a data stream has {key} {state[key]}, but this trial has {own}"
                )
        self.close()
        self._epoch, self._position = state["epoch"], state["position"]

    def close(self) -> None:
        """End the processes that read images; `next` starts them again."""
        self._batches = None


def batch_plan(
    n: int,
    batch_size: int,
    seed: int,
    epoch: int = 0,
    step: int = 0,
    *,
    rows: Sequence[int] | None = None,
) -> Iterator[list[tuple[int, int]]]:
    """Yield the epoch and position of each image of each training batch, without end.

    Args:
        n: Number of images.
        batch_size: Images per batch, at most n.
        seed: Seed of the order.
        epoch: First epoch.
        step: First batch in it.
        rows: Positions in each batch of the images that are yielded; None for all.
    """
    chosen = range(batch_size) if rows is None else rows
    last = n // batch_size * batch_size
    while True:
        order = torch.randperm(n, generator=make_generator(seed, f"order {epoch}"))
        for start in range(step * batch_size, last, batch_size):
            positions = order[start : start + batch_size].tolist()
            yield [(epoch, positions[row]) for row in chosen]
        epoch, step = epoch + 1, 0


class _Reader:
    """Reads images by their epoch and position; runs in the worker processes."""

    def __init__(self, images: StreamedImages, augment: AugmentConfig | None, seed: int) -> None:
        self._images, self._augment, self._seed = images, augment, seed

    def read_batch(self, places: Sequence[tuple[int, int]]) -> Batch:
        """Return a batch; an error is returned, because it has to pass a pipe."""
        try:
            return _together([self._read(*place) for place in places])
        except TuneNasError as error:
            return error

    def _read(self, epoch: int, position: int) -> Example:
        images, augment = self._images, self._augment
        index = int(images.index[position])
        label = int(images.source.labels[index])
        if augment is None:
            return images.read(index), label, _NO_CENTER
        generator = make_generator(self._seed, f"image {epoch}/{index}")
        original = images.source.original
        whole = augment.crop == "resized" and original is not None
        image = original(index) if whole and original is not None else images.read(index)
        image, center = change(image, images.side, augment, generator)
        return image, label, center


def _read_batches(
    reader: _Reader, plan: Iterator[list[tuple[int, int]]], workers: int
) -> Iterator[Arrays]:
    """Yield batches as planned, in order. The processes end with the iterator.

    Raises:
        DataError: If an image cannot be read, or a process ends.
    """
    # closed at once, even while a traceback refers to this function
    with closing(read_ahead(reader.read_batch, plan, workers)) as batches:
        for batch in batches:
            if isinstance(batch, TuneNasError):
                raise batch
            yield batch


def _together(examples: Sequence[Example]) -> Arrays:
    """Return a batch as arrays."""
    images, labels, centers = zip(*examples, strict=True)
    return (
        torch.stack(images).numpy(),
        np.array(labels, dtype=np.int64),
        torch.stack(centers).numpy(),
    )
