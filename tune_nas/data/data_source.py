"""The images of a retraining run, whether they are in memory or read when needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.config import AugmentConfig
from tune_nas.data.images import Images


class TrainStream(Protocol):
    """An endless stream of augmented training batches, which resumes bit for bit."""

    @property
    def batch_size(self) -> int:
        """Number of images per batch."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches per pass over the images."""

    def select(self, rows: Sequence[int]) -> None:
        """Let `next` return only some images of each batch.

        Args:
            rows: Their positions in the batch; the others are not read.
        """

    def next(self) -> tuple[Tensor, Tensor]:
        """Return the next batch on the device of the training.

        Returns:
            The normalized images (batch, channels, height, width) and their labels (batch,).

        Raises:
            DataError: If an image cannot be read; the message names its file.
        """

    def state_dict(self) -> State:
        """Return the position in the stream."""

    def load_state_dict(self, state: State) -> None:
        """Go to the position in the stream at which `state` was saved.

        Raises:
            CheckpointError: If the state belongs to a stream with other images or batches.
        """

    def close(self) -> None:
        """End the processes that read images; `next` starts them again."""


class ImageSet(Protocol):
    """Images in memory (`tune_nas.data.Images`) or read when needed."""

    def __len__(self) -> int:
        """Return the number of images."""

    def select(self, positions: Tensor) -> Images:
        """Return the images at some positions, int64, (k,), as they are: uint8, not augmented.

        Raises:
            DataError: If one cannot be read.
        """


@dataclass(frozen=True)
class DataFacts:
    """The classes, size and normalization of the images of a trial.

    Attributes:
        n_classes: Number of classes.
        in_channels: Channels of the images.
        image_size: Height and width of the images, in pixels.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel, in the same units.
        dtype: Floating-point type of the batches.
        mirrors: Whether a mirrored image keeps its class.
        classes: Names of the classes; empty if the data set has none.
    """

    n_classes: int
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: torch.dtype
    mirrors: bool
    classes: tuple[str, ...]


@dataclass(frozen=True)
class DataSource(DataFacts, ABC):
    """The images of a retraining run.

    `tune_nas.data.RetrainData` holds them in memory, `tune_nas.data.StreamedData` reads them when
    they are needed.

    Attributes:
        train: All training images, or the sample of `train_images`; for a candidate of a black-box
            search, the training half.
        test: All test images; for a candidate, the validation half.
        held_out: Which images `test` has, as the metrics name them: ``test`` or ``valid``.
    """

    train: ImageSet
    test: ImageSet
    held_out: Literal["test", "valid"] = field(default="test", kw_only=True)

    @property
    def n_train(self) -> int:
        """Number of training images."""
        return len(self.train)

    @abstractmethod
    def train_stream(
        self, batch_size: int, seed: int, augment: AugmentConfig | None, key: str
    ) -> TrainStream:
        """Return the stream of training batches.

        Args:
            batch_size: Images per batch.
            seed: Seed of their order and augmentation.
            augment: Augmentation of the trial; None for none.
            key: Its key in the trial, for messages.

        Raises:
            ConfigError: If the augmentation does not fit the images.
        """

    @abstractmethod
    def test_batches(
        self, batch_size: int, first: int = 0, step: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Return one pass over the held-out images in order, without augmentation.

        Args:
            batch_size: Images per batch; the last may be short.
            first: Number of the first batch that is returned, from 0.
            step: Distance to the next one.
        """
