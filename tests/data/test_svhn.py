"""SVHN, from small files in the published format."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tune_nas.config import DataConfig
from tune_nas.data import load_data
from tune_nas.data.vision import import_torchvision
from tune_nas.errors import DataError
from tune_nas.testing import DataSetContract

N_IMAGES = {"train": 40, "test": 20}


def images_of(part: str) -> np.ndarray[Any, Any]:
    """Return images (n, row, column, channel)."""
    seed = len(part)
    shape = (N_IMAGES[part], 32, 32, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write both files: X is (row, column, channel, n), and the digit 0 has the label 10."""
    savemat = pytest.importorskip("scipy.io").savemat
    dataset = import_torchvision().datasets.SVHN
    sums = dict(dataset.split_list)
    for part, n in N_IMAGES.items():
        name = f"{part}_32x32.mat"
        labels = 1 + np.arange(n, dtype=np.uint8)[:, None] % 10
        savemat(tmp_path / name, {"X": images_of(part).transpose(1, 2, 3, 0), "y": labels})
        md5 = hashlib.md5((tmp_path / name).read_bytes()).hexdigest()
        sums[part] = [*sums[part][:2], md5]
    monkeypatch.setattr(dataset, "split_list", sums)
    return tmp_path


def load(folder: Path | None, *, for_search: bool = False) -> Any:
    config = DataConfig(name="svhn", dir=None if folder is None else str(folder))
    return load_data(config, seed=0, device=torch.device("cpu"), for_search=for_search)


def test_images_and_labels_are_those_of_the_file(folder: Path) -> None:
    data = load(folder)
    for part, images in (("train", data.train), ("test", data.test)):
        expected = torch.from_numpy(images_of(part)).permute(0, 3, 1, 2)
        assert torch.equal(images.images, expected)
        assert images.labels.tolist() == [(1 + n) % 10 for n in range(N_IMAGES[part])]
    assert (data.n_classes, data.mirrors, data.classes[0]) == (10, False, "0")
    assert data.mean == (0.4377, 0.4438, 0.4728)


class TestSvhn(DataSetContract):
    name = "svhn"

    @pytest.fixture(autouse=True)
    def _files(self, folder: Path) -> None:
        self.folder = folder

    def config(self) -> DataConfig:
        return super().config().model_copy(update={"dir": str(self.folder)})


def test_a_search_runs_without_the_test_file(folder: Path) -> None:
    (folder / "test_32x32.mat").unlink()
    load(folder, for_search=True)
    with pytest.raises(DataError, match=r"test_32x32.mat' is missing; set data.download") as caught:
        load(folder)
    assert caught.value.passing


def test_wrong_files_are_named(folder: Path, tmp_path: Path) -> None:
    file = folder / "train_32x32.mat"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(DataError, match=r"train_32x32.mat' is damaged \(its MD5 sum") as caught:
        load(folder)
    assert "\n" not in str(caught.value) and not caught.value.passing
    with pytest.raises(DataError, match=r"absent' does not exist"):
        load(tmp_path / "absent")
    with pytest.raises(DataError, match=r"data.dir is not given, but svhn needs it"):
        load(None)


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("Error downloading\ntrain_32x32.mat")

    monkeypatch.setattr(import_torchvision().datasets.SVHN, "download", fail)
    config = DataConfig(name="svhn", dir=str(tmp_path), download=True)
    with pytest.raises(DataError, match=r"could not be fetched into .*train_32x32") as caught:
        load_data(config, seed=0, device=torch.device("cpu"), for_search=True)
    assert "\n" not in str(caught.value)
