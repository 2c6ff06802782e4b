"""Custom images in one folder per class."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Part, Source, folder_problem
from tune_nas.data.decode import read_image
from tune_nas.data.file_names import FileNames
from tune_nas.data.folder_layout import RULE, Layout, Listing, find_layout, list_images
from tune_nas.data.free_memory import check_fits
from tune_nas.data.split import stratified
from tune_nas.errors import ConfigError, DataError, DataUnavailableError
from tune_nas.paths import expanded

_DIVISION_SEED = 0
_TEST_PORTION = 0.2
_CPU = torch.device("cpu")


def read_folder(config: DataConfig, part: Part) -> Source:
    """Open your own images: train/ and test/, or one root, with a folder per class.

    A single root is split with a fixed seed, a fifth of each class for testing. Images are read as
    RGB. With `resolution`, each is cropped to the center square and resized, or as `fit` specifies;
    without it, all must be square and of the same size.
    """
    if config.dir is None:
        raise DataError(f"data.dir is not given, but folder needs it; {RULE}")
    root = expanded(config.dir)
    problem = folder_problem(root)
    if problem is not None:
        raise DataUnavailableError(f"data.dir: '{root}' {problem}; {RULE}")
    layout = find_layout(root, config.layout)
    if layout.test is None:
        listing = list_images(root)
        files, labels = _divided(listing, part)
    else:
        listing = list_images(layout.train if part == "train" else layout.test)
        files, labels = listing.files, torch.tensor(listing.labels)
        if part == "test":
            check_classes(layout.train, layout.test, listing.classes)
    if not files:
        raise DataError(f"data.dir: '{root}' has too few images for a {part} part")

    if config.streaming and config.resolution is None:
        raise ConfigError(
            "data.streaming is true, but needs data.resolution, the size of the images in a batch"
        )
    whole = config.model_copy(update={"resolution": None})
    names = FileNames(files)

    def read(wanted: Tensor) -> Tensor:
        return _read_images([names[i] for i in wanted.tolist()], config)

    return Source(
        labels,
        len(listing.classes),
        read,
        classes=listing.classes,
        unread=_unread(layout, listing),
        original=lambda index: read_image(names[index], whole),
        streams=config.streaming,
    )


def _divided(listing: Listing, part: Part) -> tuple[list[Path], Tensor]:
    """Return the files of a part of a single root, with their labels."""
    labels = torch.tensor(listing.labels)
    division = torch.Generator().manual_seed(_DIVISION_SEED)
    test, train = stratified(labels, round(_TEST_PORTION * len(labels)), division)
    index = train if part == "train" else test
    return [listing.files[i] for i in index.tolist()], labels[index]


def check_classes(train: Path, test: Path, classes: tuple[str, ...]) -> None:
    """Check that the test images have the classes of the training images.

    Args:
        train: Folder of the training images.
        test: Folder of the test images.
        classes: Classes of the test images.

    Raises:
        DataError: If one has a class that the other does not have.
    """
    expected = list_images(train).classes
    if classes != expected:
        name = min(set(classes) ^ set(expected))
        has, lacks = (test, train) if name in classes else (train, test)
        raise DataError(f"data.dir: class '{name}' is in '{has}', but not in {lacks.name}/")


def _unread(layout: Layout, listing: Listing) -> str:
    """Return a text about files that are not read."""
    folders = [f"{name}/" for name in layout.unread]
    files = [
        f"{n:,} {ending or 'other'} file{'' if n == 1 else 's'}"
        for ending, n in sorted(listing.other.items())
    ]
    return ", ".join(folders + files)


def _read_images(files: list[Path], config: DataConfig) -> Tensor:
    """Return images as uint8, (n, 3, side, side)."""
    first = read_image(files[0], config)
    check_fits(len(files), first.shape, _CPU)
    images = torch.empty(len(files), *first.shape, dtype=torch.uint8)
    for position, file in enumerate(files):
        image = read_image(file, config)
        height, width = image.shape[1:]
        if image.shape != first.shape or height != width:
            other = "" if image.shape == first.shape else f", '{files[0]}' {_size(first)}"
            raise DataError(
                f"data.dir: '{file}' has {_size(image)} pixels{other}; set data.resolution "
                "to make all images square and of one size"
            )
        images[position] = image
    return images


def _size(image: Tensor) -> str:
    return f"{image.shape[2]} × {image.shape[1]}"
