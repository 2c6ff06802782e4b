"""A user's own images, in one folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tune_nas.config import DataConfig
from tune_nas.data.registry import Part, Source, folder_problem, register_dataset
from tune_nas.data.split import stratified
from tune_nas.data.vision import import_torchvision
from tune_nas.errors import DataError
from tune_nas.paths import expanded

_DIVISION_SEED = 0
_TEST_PORTION = 0.2
_LAYOUT = "data.dir must hold train/ and test/, or classes, with a folder of images per class"


@register_dataset("folder")
def read_folder(config: DataConfig, part: Part) -> Source:
    """Open your own images: train/ and test/, or one root, with a folder per class.

    One root is divided by a fixed seed, a fifth for testing, the classes in equal shares. Images
    are read as RGB. With `resolution` each is cut to a square about its centre and resized;
    without, all must be square and of one size.
    """
    if config.dir is None:
        raise DataError(f"data.dir is not given, but folder needs it; {_LAYOUT}")
    root = expanded(config.dir)
    problem = folder_problem(root)
    if problem is not None:
        raise DataError(f"data.dir: '{root}' {problem}; {_LAYOUT}")
    has_parts = [(root / name).is_dir() for name in ("train", "test")]
    if all(has_parts):
        files, labels, classes = _list_images(root / part)
        if part == "test":
            _check_classes(root, classes)
    elif any(has_parts):
        absent = root / ("test" if has_parts[0] else "train")
        raise DataError(f"data.dir: '{absent}' does not exist; {_LAYOUT}")
    else:
        files, labels, classes = _list_images(root)
        division = torch.Generator().manual_seed(_DIVISION_SEED)
        test, train = stratified(labels, round(_TEST_PORTION * len(files)), division)
        index = train if part == "train" else test
        files, labels = [files[i] for i in index.tolist()], labels[index]
    if not files:
        raise DataError(f"data.dir: '{root}' has too few images for a {part} part")

    def read(wanted: Tensor) -> Tensor:
        return _read_images([files[i] for i in wanted.tolist()], config.resolution)

    return Source(labels, len(classes), read)


def _list_images(root: Path) -> tuple[list[Path], Tensor, list[str]]:
    """Return the files, their labels and the classes' names, without opening an image."""
    try:
        listing = import_torchvision().datasets.ImageFolder(str(root))
    except OSError as error:
        raise DataError(f"data.dir: {' '.join(str(error).split())}; {_LAYOUT}") from error
    if len(listing.classes) < 2:
        raise DataError(f"data.dir: '{root}' has one class, but must have at least 2; {_LAYOUT}")
    files = [Path(name) for name, _ in listing.samples]
    return files, torch.tensor([label for _, label in listing.samples]), listing.classes


def _check_classes(root: Path, classes: list[str]) -> None:
    _, _, expected = _list_images(root / "train")
    if classes != expected:
        name = min(set(classes) ^ set(expected))
        has, lacks = ("test", "train") if name in classes else ("train", "test")
        raise DataError(f"data.dir: class '{name}' is in '{root / has}', but not in {lacks}/")


def _read_images(files: list[Path], resolution: int | None) -> Tensor:
    """Return images as uint8, (n, 3, side, side)."""
    first = _read_image(files[0], resolution)
    images = torch.empty(len(files), *first.shape, dtype=torch.uint8)
    for position, file in enumerate(files):
        image = _read_image(file, resolution)
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


def _read_image(file: Path, resolution: int | None) -> Tensor:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        cause = " ".join(str(error).split())
        raise DataError(f"data.dir: '{file}' is not a readable image ({cause})") from error
    if resolution is not None:
        # Antialiased: PIL's filters widen with the reduction.
        image = ImageOps.fit(image, (resolution, resolution), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
