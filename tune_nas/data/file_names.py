"""The names of many files in little memory, which processes can share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np


class FileNames:
    """Paths of files by number, stored as one text.

    A list of a million paths takes half a gigabyte, and each process that reads images would copy
    it piece by piece, because Python counts the references to each path.

    Args:
        files: The paths.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        names = [os.fsencode(file) for file in files]
        self._text = b"".join(names)
        self._ends = np.cumsum([0, *map(len, names)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> Path:
        """Return the path of a number, from 0.

        Raises:
            IndexError: If there are not so many.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        start, end = self._ends[number : number + 2].tolist()
        return Path(os.fsdecode(self._text[start:end]))
