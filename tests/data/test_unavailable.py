"""Which errors of images may pass, so that a trial is tried again, and which stay."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from PIL import Image

from tune_nas.config import DataConfig
from tune_nas.data import load_data
from tune_nas.errors import DataError


def make_folder(root: Path) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (8, 8)).save(root / split / name / f"{number}.png")
    return root


def error_of(root: Path, name: str = "folder") -> DataError:
    config = DataConfig.model_validate({"name": name, "dir": str(root)})
    with pytest.raises(DataError) as raised:
        load_data(config, seed=0, device=torch.device("cpu"), for_search=False)
    return raised.value


@pytest.mark.parametrize(
    "name", ["folder", "cifar10", "cifar100", "svhn", "imagenet16-120", "imagenet"]
)
def test_a_folder_that_cannot_be_reached_may_come_back(tmp_path: Path, name: str) -> None:
    assert error_of(tmp_path / "absent", name).passing
    assert error_of(tmp_path, name).passing  # empty, as where a file system is mounted


def test_a_missing_split_may_come_back_and_a_missing_class_not(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images")
    (root / "test").rename(root / "gone")
    assert error_of(root).passing
    (root / "gone").rename(root / "test")
    (root / "test" / "dog").rename(root / "dog")
    assert not error_of(root).passing


def test_a_damaged_image_stays_and_a_failing_disk_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "images")
    file = root / "train" / "cat" / "0.png"
    whole = file.read_bytes()
    for content in (whole[:40], b"no image", b""):
        file.write_bytes(content)
        assert not error_of(root).passing
    file.write_bytes(whole)

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Image, "open", fails)
    error = error_of(root)
    assert error.passing
    assert str(error).endswith("0.png' cannot be read (Stale file handle)")
