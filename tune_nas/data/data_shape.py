"""Number and size of the images of a trial's data section, without loading them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from tune_nas.config import DataConfig
from tune_nas.data.opening import open_part

_SHAPES: ContextVar[DataShapes | None] = ContextVar("shapes of a block", default=None)


@dataclass(frozen=True)
class DataShape:
    """Number and size of a trial's training images.

    Attributes:
        n_classes: Number of classes.
        in_channels: Channels of the images.
        image_size: Height and width of the images, in pixels.
        n_train: Number of training images, including both halves of a search.
        mirrors: Whether a mirrored image keeps its class.
        streams: Whether a retraining run reads the images when it needs them.
    """

    n_classes: int
    in_channels: int
    image_size: int
    n_train: int
    mirrors: bool = True
    streams: bool = False


class DataShapes:
    """The shapes of data sets, each of which is opened once, however many trials name it.

    Opening one reads and verifies all of its files.
    """

    def __init__(self) -> None:
        self._known: dict[str, DataShape] = {}

    def of(self, config: DataConfig) -> DataShape:
        """See `describe_data`."""
        key = repr(config.model_copy(update={"augment": None}))  # it is applied to what was read
        if key not in self._known:
            self._known[key] = _described(config)
        return self._known[key]


def known_shapes() -> DataShapes:
    """Return the shapes of the innermost `described_once` that is running, or new ones."""
    shapes = _SHAPES.get()
    return DataShapes() if shapes is None else shapes


@contextmanager
def described_once() -> Iterator[None]:
    """Let `describe_data` open each data set once within the block, also in blocks within it."""
    token = _SHAPES.set(known_shapes())
    try:
        yield
    finally:
        _SHAPES.reset(token)


def describe_data(config: DataConfig) -> DataShape:
    """Return the shape of a trial's training images, reading one image.

    Raises:
        DataError: If files are missing, unreadable or damaged.
    """
    return known_shapes().of(config)


def _described(config: DataConfig) -> DataShape:
    source = open_part(config, "train")
    first = source.read(torch.zeros(1, dtype=torch.int64))
    n_train = min(config.train_images or len(source.labels), len(source.labels))
    side = config.resolution or first.shape[2]
    return DataShape(
        source.n_classes, first.shape[1], side, n_train, source.mirrors, source.streams
    )
