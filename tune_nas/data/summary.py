"""What the images of a run are, in a line."""

from __future__ import annotations

import torch

from tune_nas.config import DataConfig
from tune_nas.data.opening import open_part
from tune_nas.data.registry import Source
from tune_nas.errors import DataError

_MOST_CLASSES = 12  # that are named


def describe_images(config: DataConfig) -> str | None:
    """Return the classes and their counts in a line; None for a data set whose classes are known.

    No image is read.

    Args:
        config: The data section of a trial.

    Raises:
        DataError: If the training images cannot be found.
    """
    train = open_part(config, "train")
    if not train.classes:
        return None
    try:
        test: Source | None = open_part(config, "test")
    except DataError:  # a search needs none
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
    """Return a text in which control characters, which a terminal obeys, are escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
