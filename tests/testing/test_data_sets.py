"""The shipped data sets that need no download keep the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tune_nas.testing import DataSetContract


class TestDigits(DataSetContract):
    name = "digits"


class TestFake(DataSetContract):
    name = "fake"


class TestFolder(DataSetContract):
    name = "folder"

    @pytest.fixture(autouse=True)
    def _images(self, tmp_path: Path) -> Iterator[None]:
        for part, count in (("train", 6), ("test", 3)):
            for number, label in enumerate(("cat", "dog")):
                folder = tmp_path / part / label
                folder.mkdir(parents=True)
                for index in range(count):
                    color = (40 * index, 100 * number, 7)
                    Image.new("RGB", (12, 8), color).save(folder / f"{index}.png")
        self.folder = tmp_path
        yield

    def config(self) -> Any:
        return super().config().model_copy(update={"dir": str(self.folder), "resolution": 8})
