"""ImageNet (ILSVRC 2012) in folders, as torchvision's `ImageFolder` reads it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Part, Source, folder_problem
from tune_nas.data.decode import read_image
from tune_nas.data.file_names import FileNames
from tune_nas.data.folder import check_classes
from tune_nas.data.folder_layout import list_images
from tune_nas.data.free_memory import check_fits
from tune_nas.data.vision import import_transforms
from tune_nas.errors import DataError, DataUnavailableError
from tune_nas.paths import expanded

_FOLDERS = {"train": "train", "test": "val"}
_SIDE = 224
# Before the center crop, the shorter side is resized to 256 pixels for a crop of 224.
_MARGIN = 256 / 224
# As in the DARTS code, `cnn/train_imagenet.py`.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def read_imagenet(config: DataConfig, part: Part) -> Source:
    """Open ImageNet: train/ and val/ with a folder per class; read when needed, 224 × 224 pixels.

    Any images in this layout can be used; the number of classes is that of the folders. Test images
    are resized (for 224 pixels, the shorter side to 256) and cropped to the center.
    """
    rule = f"{config.name} needs the folder that holds train/ and val/, with a folder per class"
    if config.dir is None:
        raise DataError(f"data.dir is not given, but {rule}")
    root = expanded(config.dir)
    folder = root / _FOLDERS[part]
    for needed in (root, folder):
        problem = folder_problem(needed)
        if problem is not None:
            raise DataUnavailableError(f"data.dir: '{needed}' {problem}; {rule}")
    listing = list_images(folder)
    if part == "test":
        check_classes(root / _FOLDERS["train"], folder, listing.classes)
    import_transforms()  # once, before processes that read images start
    whole = config.model_copy(update={"resolution": None})
    side = config.resolution or _SIDE
    files = FileNames(listing.files)

    def read(wanted: Tensor) -> Tensor:
        check_fits(len(wanted), (3, side, side), torch.device("cpu"))
        images = torch.empty(len(wanted), 3, side, side, dtype=torch.uint8)
        for position, index in enumerate(wanted.tolist()):
            images[position] = read_test_image(files[index], config)
        return images

    return Source(
        torch.tensor(listing.labels),
        len(listing.classes),
        read,
        mean=_MEAN,
        std=_STD,
        classes=listing.classes,
        original=lambda index: read_image(files[index], whole),
        streams=True,
    )


def read_test_image(file: Path, config: DataConfig) -> Tensor:
    """Read an image file as uint8, (3, side, side), resized and cropped as for testing.

    Args:
        file: The file.
        config: The section ``data`` of the trial.

    Raises:
        DataError: If it cannot be read.
    """
    image = read_image(file, config.model_copy(update={"resolution": None}))
    return center_crop(image, config.resolution or _SIDE)


def center_crop(image: Tensor, side: int) -> Tensor:
    """Resize an image, antialiased, with a margin of 1/7 around its central square of that side.

    Args:
        image: uint8, (channels, height, width).
        side: Height and width of the result, in pixels.
    """
    transforms = import_transforms()
    resized = transforms.resize(image, [round(side * _MARGIN)], antialias=True)
    cropped: Tensor = transforms.center_crop(resized, [side, side])
    return cropped
