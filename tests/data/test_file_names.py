"""Names of files are returned as they were given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tune_nas.data.file_names import FileNames


def test_names_are_kept() -> None:
    files = [Path("/a/b.JPEG"), Path("é/😀 x.png"), Path(), Path(os.fsdecode(b"n\xff.jpg"))]
    names = FileNames(files)
    assert [names[number] for number in range(len(names))] == files
    assert len(names) == 4 and len(FileNames([])) == 0
    for number in (-1, 4):
        with pytest.raises(IndexError):
            names[number]
