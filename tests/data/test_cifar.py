"""CIFAR-10 as published, where it is at hand; broken copies of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tune_nas.config import DataConfig
from tune_nas.data import channel_statistics, load_data
from tune_nas.data.vision import import_torchvision
from tune_nas.errors import DataError

CPU = torch.device("cpu")
FOLDER = "cifar-10-batches-py"


@pytest.fixture
def copy(shared_data_dir: Path, tmp_path: Path) -> Path:
    """Return a copy of the data set, made of links, that may be broken."""
    original = shared_data_dir / FOLDER
    if not original.is_dir():
        pytest.skip("CIFAR-10 is not at hand")
    (tmp_path / FOLDER).mkdir()
    for file in original.iterdir():
        (tmp_path / FOLDER / file.name).symlink_to(file)
    return tmp_path


def _load(folder: Path, *, for_search: bool) -> object:
    config = DataConfig(name="cifar10", dir=str(folder), train_images=500, resolution=8)
    return load_data(config, seed=0, device=CPU, for_search=for_search)


def test_cifar10_is_the_published_one(copy: Path) -> None:
    config = DataConfig(name="cifar10", dir=str(copy))
    data = load_data(config, seed=0, device=CPU, for_search=False)
    assert data.train.images.shape == (50000, 3, 32, 32)
    assert data.test.images.shape == (10000, 3, 32, 32)
    assert torch.equal(torch.bincount(data.train.labels), torch.full((10,), 5000))
    assert torch.equal(torch.bincount(data.test.labels), torch.full((10,), 1000))
    # The published constants are those of the 50,000 images, summed in float32.
    mean, std = channel_statistics(data.train.images)
    assert data.mean == pytest.approx(mean, abs=1e-6)
    assert data.std == pytest.approx(std, abs=1e-6)
    torchvision = import_torchvision()
    reference = torchvision.datasets.CIFAR10(root=str(copy), train=False)
    image, label = reference[17]
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(data.test.images[17], pixels)
    assert int(data.test.labels[17]) == label


def test_a_search_runs_without_the_test_file(copy: Path) -> None:
    (copy / FOLDER / "test_batch").unlink()
    _load(copy, for_search=True)
    with pytest.raises(DataError, match=r"test_batch' is missing; fetch cifar10 anew"):
        _load(copy, for_search=False)


def test_a_damaged_file_is_named(copy: Path) -> None:
    damaged = copy / FOLDER / "data_batch_3"
    content = bytearray(damaged.read_bytes())
    content[1000] ^= 1
    damaged.unlink()
    damaged.write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_3' is damaged \(its MD5 sum") as caught:
        _load(copy, for_search=True)
    assert "\n" not in str(caught.value)


def test_the_inner_folder_is_not_the_right_one(copy: Path) -> None:
    with pytest.raises(DataError, match=f"must be the folder that holds '{FOLDER}'"):
        _load(copy / FOLDER, for_search=True)


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set data\.download to fetch it"):
        _load(tmp_path, for_search=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = import_torchvision().datasets.CIFAR10

    def fail(self: object) -> None:
        raise RuntimeError("Error downloading\ncifar-10-python.tar.gz")

    monkeypatch.setattr(dataset, "download", fail)
    config = DataConfig(name="cifar10", dir=str(tmp_path), download=True)
    with pytest.raises(DataError, match=r"could not be fetched into .* cifar-10-python") as caught:
        load_data(config, seed=0, device=CPU, for_search=True)
    assert "\n" not in str(caught.value)
