"""Opening a data set; results of a custom function are checked before they are used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tune_nas import manifest
from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Part, Reader, Source, find_reader
from tune_nas.errors import ConfigError, DataError, DataUnavailableError, TuneNasError
from tune_nas.paths import expanded
from tune_nas.user_code import said


def open_part(config: DataConfig, part: Part) -> Source:
    """Open a part of the data set that a trial names.

    Args:
        config: The trial's data section.
        part: ``train`` or ``test``.

    Raises:
        ConfigError: If no data set has this name, or a custom one does not match `Source`.
        DataError: If its files are missing, unreadable or damaged.
    """
    if manifest.is_shipped("datasets", config.name):
        return find_reader(config.name)(config, part)
    folders = [] if config.module_dir is None else [expanded(config.module_dir)]
    return _open_checked(find_reader(config.name, folders), config, part)


def _open_checked(reader: Reader, config: DataConfig, part: Part) -> Source:
    """Open a part of a custom data set.

    Args:
        reader: The user's function.
        config: The data section of a trial.
        part: ``train`` or ``test``.

    Returns:
        Its source; images are checked whenever they are read.

    Raises:
        ConfigError: If the function or its result does not match `Source`.
        DataError: If the function fails; a `DataUnavailableError` if it raises an OSError.
    """
    where = f"data.name is '{config.name}', whose {part} part"
    try:
        source = reader(config, part)
    except (Exception, SystemExit) as error:
        raise _failure(where, error) from error
    if not isinstance(source, Source):
        raise ConfigError(
            f"{where} is of type {type(source).__name__}, but must be a tune_nas.data.Source"
        )
    problem = _label_problem(source)
    if problem is not None:
        raise ConfigError(f"{where} has {problem}")

    def read(index: Tensor) -> Tensor:
        try:
            images = source.read(index)
        except (Exception, SystemExit) as error:
            raise _failure(where, error) from error
        problem = _image_problem(images, len(index))
        if problem is not None:
            raise ConfigError(f"{where} reads {problem}")
        return images

    original = None if source.original is None else _checked_original(source.original, where)
    return replace(source, read=read, original=original)


def _checked_original(read: Callable[[int], Tensor], where: str) -> Callable[[int], Tensor]:
    def original(index: int) -> Tensor:
        try:
            image = read(index)
        except (Exception, SystemExit) as error:
            raise _failure(where, error) from error
        legal = isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 3
        if not legal or image.shape[0] != 3 or image.device.type != "cpu":
            raise ConfigError(
                f"{where} has an original image {_described(image)}, but it must be uint8 of shape "
                "(3, height, width) on the CPU"
            )
        return image

    return original


def _failure(where: str, error: BaseException) -> TuneNasError:
    if isinstance(error, TuneNasError):
        return error
    kind = DataUnavailableError if isinstance(error, OSError) else DataError
    return kind(f"{where} cannot be read: {said(error)}")


def _label_problem(source: Source) -> str | None:
    """Return a description of the problem with the labels; None if there is none."""
    labels = source.labels
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
        return f"labels {_described(labels)}, but they must be int64 of shape (n,)"
    if len(labels) == 0:
        return "no images"
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= source.n_classes:
        return (
            f"labels from {least} to {most}, but with {source.n_classes} classes they must be "
            f"from 0 to {source.n_classes - 1}"
        )
    return None


def _image_problem(images: object, n: int) -> str | None:
    """Return a description of the problem with images that were read; None if there is none."""
    legal = isinstance(images, Tensor) and images.dtype == torch.uint8 and images.ndim == 4
    if legal and isinstance(images, Tensor):
        count, channels, height, width = images.shape
        legal = count == n and channels > 0 and height == width > 0 and images.device.type == "cpu"
    if legal:
        return None
    return (
        f"images {_described(images)}, but they must be uint8 of shape ({n}, channels, side, side) "
        "on the CPU"
    )


def _described(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"of type {type(value).__name__}"
    return f"of type {str(value.dtype).removeprefix('torch.')} and shape {tuple(value.shape)}"
