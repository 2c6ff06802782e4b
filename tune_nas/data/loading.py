"""Loading of the images of a trial's data section onto its device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from typing import Literal, overload

import torch

from tune_nas.config import AugmentConfig, DataConfig
from tune_nas.data.augment import fitted
from tune_nas.data.batches import Batches, evaluation_batches
from tune_nas.data.data_source import DataFacts, DataSource
from tune_nas.data.dataset_registry import Source
from tune_nas.data.free_memory import check_fits
from tune_nas.data.images import Images, channel_statistics, resize
from tune_nas.data.opening import open_part
from tune_nas.data.split import stratified
from tune_nas.data.streaming import StreamedData, StreamedImages
from tune_nas.errors import ConfigError, DataError
from tune_nas.seeds import make_generator

# Seed of everything that must be the same in every trial.
FIXED_SEED = 0
_STATISTICS_IMAGES = 1024  # of which mean and standard deviation of streamed images are computed


class _ResidentData(DataFacts):
    """Data in memory, of a search or a retraining run."""

    def batches(
        self,
        images: Images,
        batch_size: int,
        generator: torch.Generator,
        augment: AugmentConfig | None,
        key: str = "augment",
    ) -> Batches:
        """Return the endless training stream over a subset of the images; see `Batches`.

        Args:
            images: The subset.
            batch_size: Images per batch.
            generator: Generator of order and augmentation.
            augment: Augmentation of the trial; None for none.
            key: Its key in the trial, for messages.

        Raises:
            ConfigError: If the augmentation can blank whole images.
        """
        if augment is not None:
            augment = fitted(augment, self.image_size, mirrors=self.mirrors, key=key)
        return Batches(images, batch_size, generator, augment, self.mean, self.std, self.dtype)

    def evaluation_batches(
        self, images: Images, batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Return one ordered pass over a subset of the images, without augmentation."""
        return evaluation_batches(
            images, batch_size, self.mean, self.std, self.dtype, self._smallest_batch()
        )

    def _smallest_batch(self) -> int:
        return 1


@dataclass(frozen=True)
class SearchData(_ResidentData):
    """The data of a search: the split training images, without test images.

    Attributes:
        train: The training half.
        valid: The validation half.
        all_train: Both halves; shares their memory.
        smallest_batch: Minimum size of an evaluation batch, if there are as many images.
    """

    train: Images
    valid: Images
    all_train: Images
    smallest_batch: int = 1

    def _smallest_batch(self) -> int:
        return self.smallest_batch

    def for_candidates(self) -> RetrainData:
        """Return the data of a candidate: trained on one half, evaluated on the other."""
        facts = {each.name: getattr(self, each.name) for each in fields(DataFacts)}
        return RetrainData(**facts, train=self.train, test=self.valid, held_out="valid")


@dataclass(frozen=True)
class RetrainData(_ResidentData, DataSource):
    """The data of a retraining run, in memory."""

    train: Images
    test: Images

    def train_stream(
        self, batch_size: int, seed: int, augment: AugmentConfig | None, key: str
    ) -> Batches:
        """Return the stream of training batches; see `DataSource.train_stream`."""
        generator = torch.Generator().manual_seed(seed)
        return self.batches(self.train, batch_size, generator, augment, key)

    def test_batches(
        self, batch_size: int, first: int = 0, step: int = 1
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Return one pass over the test images; see `DataSource.test_batches`."""
        return islice(self.evaluation_batches(self.test, batch_size), first, None, step)


@overload
def load_data(
    config: DataConfig,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = ...,
    for_search: Literal[True],
) -> SearchData: ...


@overload
def load_data(
    config: DataConfig,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = ...,
    for_search: Literal[False],
) -> DataSource: ...


@overload
def load_data(
    config: DataConfig,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = ...,
    for_search: bool,
) -> SearchData | DataSource: ...


def load_data(
    config: DataConfig,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    for_search: bool,
) -> SearchData | DataSource:
    """Read the images of a trial and put them on its device.

    Those of a retraining run are read later, when they are needed, if the data set is one that is
    streamed.

    Args:
        config: The trial's data section.
        seed: The trial's seed. If ``split`` is ``seed``, it determines the sample of `train_images`
            and the split into halves; if ``fixed``, it has no effect.
        device: Device of the images.
        dtype: Floating-point type of the batches.
        for_search: Whether to split the training images and not read the test images.

    Returns:
        The split training images for a search, else training and test images.

    Raises:
        ConfigError: If `train_images` or `train_portion` does not fit the data set.
        DataError: If files are missing, unreadable or damaged, or images do not fit in memory.
    """
    generator = make_generator(seed if config.split == "seed" else FIXED_SEED, "data division")
    source = open_part(config, "train")
    chosen = _choose(config, source, generator)
    n_train = len(chosen)
    if for_search:
        n_train = _train_size(config, len(chosen))
        # Read in the order of the halves, which are then ranges of one tensor.
        chosen = chosen[torch.cat(stratified(source.labels[chosen], n_train, generator))]
    elif source.streams:
        return _streamed(config, source, chosen, device, dtype)
    train = _read(config, source, chosen)
    if source.mean is not None and source.std is not None:
        mean, std = source.mean, source.std
    else:
        mean, std = channel_statistics(train.images)
    channels, side = train.images.shape[1:3]
    classes = source.classes
    shape = (source.n_classes, channels, side, mean, std, dtype, source.mirrors, classes)
    if for_search:
        images = _moved(train, device)
        return SearchData(*shape, train=images[:n_train], valid=images[n_train:], all_train=images)
    test_source = open_part(config, "test")
    test = _read(config, test_source, torch.arange(len(test_source.labels)))
    if test.images.shape[1:] != train.images.shape[1:]:
        raise DataError(
            f"test images of {config.name} are {tuple(test.images.shape[1:])}, training images "
            f"{tuple(train.images.shape[1:])}; set data.resolution"
        )
    return RetrainData(*shape, train=_moved(train, device), test=_moved(test, device))


def _streamed(
    config: DataConfig,
    source: Source,
    chosen: torch.Tensor,
    device: torch.device,
    dtype: torch.dtype,
) -> StreamedData:
    """Return the data of a retraining run that reads images when it needs them."""
    test = open_part(config, "test")
    first = source.read(chosen[:1])
    channels, side = first.shape[1:3]
    if source.mean is not None and source.std is not None:
        mean, std = source.mean, source.std
    else:
        generator = make_generator(FIXED_SEED, "channel statistics")
        n = min(_STATISTICS_IMAGES, len(chosen))
        some = stratified(source.labels[chosen], n, generator)[0]
        mean, std = channel_statistics(source.read(chosen[some]))
    return StreamedData(
        *(source.n_classes, channels, side, mean, std, dtype, source.mirrors, source.classes),
        train=StreamedImages(source, chosen, side),
        test=StreamedImages(test, torch.arange(len(test.labels)), side),
        workers=config.workers,
        device=device,
    )


def _train_size(config: DataConfig, n: int) -> int:
    """Return the size of the training half of n images."""
    n_train = round(config.train_portion * n)
    if not 0 < n_train < n:
        raise ConfigError(
            f"data.train_portion is {config.train_portion}, but must leave an image in both halves "
            f"of {n}"
        )
    return n_train


def _choose(config: DataConfig, source: Source, generator: torch.Generator) -> torch.Tensor:
    """Return the indices of the training images that the trial uses."""
    n, wanted = source.labels.shape[0], config.train_images
    if wanted is None:
        return torch.arange(n)
    if wanted > n:
        raise ConfigError(
            f"data.train_images is {wanted}, but {config.name} has {n} training images"
        )
    return stratified(source.labels, wanted, generator)[0]


def _read(config: DataConfig, source: Source, index: torch.Tensor) -> Images:
    images = source.read(index)
    side = config.resolution
    if side is not None and images.shape[-2:] != (side, side):
        check_fits(len(images), (images.shape[1], side, side), images.device)
        images = resize(images, side)
    return Images(images, source.labels[index])


def _moved(images: Images, device: torch.device) -> Images:
    """Return images on a device.

    Raises:
        DataError: If they do not fit there.
    """
    if images.images.device.type != device.type:
        check_fits(len(images), images.images.shape[1:], device)
    return images.to(device)
