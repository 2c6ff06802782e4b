"""One-line summaries of the images of a run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from tune_nas.config import DataConfig
from tune_nas.data.dataset_registry import Source
from tune_nas.data.opening import open_part
from tune_nas.errors import DataError

_MOST_CLASSES = 12  # named in the line


@dataclass(frozen=True)
class ImageSummary:
    """Descriptions of a data set.

    Args:
        facts: A line for the provenance of a run.
        line: A line for the user; None for a well-known data set.
    """

    facts: str
    line: str | None


def summarize_images(config: DataConfig) -> ImageSummary:
    """Return the facts about a data set, and a line with the classes of a user's own.

    No image of a folder is read.

    Args:
        config: The data section of a trial.

    Raises:
        DataError: If the training images cannot be found.
    """
    train = open_part(config, "train")
    return ImageSummary(_facts(config, train), _line(config, train))


def describe_images(config: DataConfig) -> str | None:
    """Return a line with the classes and their counts; None for a well-known data set.

    No image is read.

    Args:
        config: The data section of a trial.

    Raises:
        DataError: If the training images cannot be found.
    """
    return _line(config, open_part(config, "train"))


def _facts(config: DataConfig, train: Source) -> str:
    """Return the numbers of images, and a checksum of the labels in the order of the images.

    The checksum tells whether images were added, removed or reordered; it does not depend on their
    pixels.
    """
    labels = train.labels.to(torch.int64).contiguous().numpy().tobytes()
    used = "all" if config.train_images is None else f"{config.train_images:,}"
    where = "" if config.dir is None else f" in '{_printable(config.dir)}'"
    share = f"{100 * config.train_portion:g} %"
    return (
        f"{_printable(config.name)}{where}: {len(train.labels):,} training images of "
        f"{train.n_classes:,} classes, of which {used} are used, {share} for training "
        f"(SHA-256 of all labels {hashlib.sha256(labels).hexdigest()[:16]})"
    )


def _line(config: DataConfig, train: Source) -> str | None:
    if not train.classes or train.well_known:
        return None
    try:
        test: Source | None = open_part(config, "test")
    except DataError:  # a search needs no test images
        test = None
    counts = [_counts(train), None if test is None else _counts(test)]
    each = []
    for label, name in enumerate(train.classes[:_MOST_CLASSES]):
        numbers = "+".join(str(count[label]) for count in counts if count is not None)
        each.append(f"{_printable(name)} {numbers}")
    if len(train.classes) > _MOST_CLASSES:
        each.append(f"and {len(train.classes) - _MOST_CLASSES:,} more")
    n_test = "no" if test is None else f"{len(test.labels):,}"
    line = (
        f"data: {len(train.classes):,} classes in '{_printable(config.dir or config.name)}', "
        f"{len(train.labels):,} training + {n_test} test images: {', '.join(each)}"
    )
    return line + (f"; not read: {_printable(train.unread)}" if train.unread else "")


def _counts(source: Source) -> list[int]:
    counts: list[int] = torch.bincount(source.labels, minlength=source.n_classes).tolist()
    return counts


def _printable(text: str) -> str:
    """Return a text with the control characters escaped that a terminal would interpret."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
