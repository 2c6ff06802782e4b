"""A folder of images per class: both layouts, sizes, and what can be wrong with them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tune_nas.config import DataConfig
from tune_nas.data import RetrainData, SearchData, load_data
from tune_nas.errors import DataError

CPU = torch.device("cpu")
COLORS = {"blue": (20, 40, 220), "green": (10, 200, 30), "red": (230, 5, 60)}


def _write(folder: Path, n: int, size: tuple[int, int] = (6, 6)) -> None:
    """Write n images of each class; the n-th has its number as its red value's last digit."""
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            red = color[0] // 10 * 10 + number
            Image.new("RGB", size, (red, *color[1:])).save(folder / name / f"{number}.png")


def _search(folder: Path, **data: Any) -> SearchData:
    config = DataConfig(name="folder", dir=str(folder), **data)
    return load_data(config, seed=0, device=CPU, for_search=True)


def _retrain(folder: Path, **data: Any) -> RetrainData:
    config = DataConfig(name="folder", dir=str(folder), **data)
    return load_data(config, seed=0, device=CPU, for_search=False)


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    _write(tmp_path / "train", 6)
    _write(tmp_path / "test", 2)
    return tmp_path


def test_train_and_test_folders(divided: Path) -> None:
    data = _retrain(divided)
    assert (len(data.train), len(data.test)) == (18, 6)
    assert (data.n_classes, data.in_channels, data.image_size) == (3, 3, 6)
    for part, n in ((data.train, 6), (data.test, 2)):
        for label, color in enumerate(COLORS.values()):
            images = part.images[part.labels == label]
            expected = [[color[0] // 10 * 10 + number, *color[1:]] for number in range(n)]
            assert images[:, :, 3, 3].tolist() == expected
            assert (images == images[:, :, :1, :1]).all()


def test_a_search_opens_no_file_of_the_test_folder(divided: Path) -> None:
    shutil.rmtree(divided / "test")
    (divided / "test").mkdir()
    assert len(_search(divided).all_train) == 18
    with pytest.raises(DataError, match=r"test'|class folder"):
        _retrain(divided)


def test_one_root_is_divided_by_a_fixed_seed(tmp_path: Path) -> None:
    _write(tmp_path, 10)
    parts = []
    for seed in (0, 1):
        config = DataConfig(name="folder", dir=str(tmp_path))
        data = load_data(config, seed=seed, device=CPU, for_search=False)
        assert (len(data.train), len(data.test)) == (24, 6)
        assert torch.bincount(data.test.labels).tolist() == [2, 2, 2]
        colors = {tuple(image[:, 0, 0].tolist()) for image in data.train.images}
        tested = {tuple(image[:, 0, 0].tolist()) for image in data.test.images}
        assert len(colors | tested) == 30
        parts.append(tested)
    assert parts[0] == parts[1]
    searched = {tuple(image[:, 0, 0].tolist()) for image in _search(tmp_path).all_train.images}
    assert searched.isdisjoint(parts[0])


def test_a_search_opens_no_test_image_of_one_root(tmp_path: Path) -> None:
    _write(tmp_path, 10)
    tested = {tuple(image[:, 0, 0].tolist()) for image in _retrain(tmp_path).test.images}
    for file in tmp_path.rglob("*.png"):
        if tuple(Image.open(file).convert("RGB").getpixel((0, 0))) in tested:
            file.write_bytes(b"not an image")
    assert len(_search(tmp_path).all_train) == 24
    with pytest.raises(DataError, match="is not a readable image"):
        _retrain(tmp_path)


def test_resolution_cuts_the_middle_and_resizes(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        for number in range(5):
            pixels = np.zeros((8, 24, 3), dtype=np.uint8)
            pixels[:, 8:16] = 100
            pixels[:, 16:] = 200
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    data = _retrain(tmp_path, resolution=4)
    assert data.train.images.shape == (8, 3, 4, 4)
    # The outer columns are 0 and 200: the filter reaches half a new pixel over the cut at most.
    assert (data.train.images[:, :, :, 1:3] == 100).all()
    assert ((data.train.images.int() - 100).abs() < 25).all()


def test_gray_images_are_read_as_colors(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("L", (4, 4), 77).save(tmp_path / name / f"{number}.png")
    assert (_retrain(tmp_path).train.images == 77).all()


def test_images_of_different_sizes_need_a_resolution(divided: Path) -> None:
    file = divided / "train" / "red" / "3.png"
    Image.new("RGB", (7, 5)).save(file)
    with pytest.raises(
        DataError, match=r"3\.png' has 7 × 5 pixels, .* 6 × 6; set data\.resolution"
    ):
        _search(divided)
    assert _search(divided, resolution=4).image_size == 4


def test_images_that_are_not_square_need_a_resolution(tmp_path: Path) -> None:
    _write(tmp_path, 5, size=(6, 4))
    with pytest.raises(DataError, match=r"has 6 × 4 pixels; set data\.resolution"):
        _search(tmp_path)


def test_test_images_of_another_size_need_a_resolution(divided: Path) -> None:
    shutil.rmtree(divided / "test")
    _write(divided / "test", 2, size=(8, 8))
    with pytest.raises(DataError, match=r"test images of folder are .*; set data\.resolution"):
        _retrain(divided)


@pytest.mark.parametrize("damage", [b"", b"not an image", "cut"])
def test_a_damaged_file_is_named(divided: Path, damage: bytes | str) -> None:
    file = divided / "train" / "green" / "4.png"
    whole = file.read_bytes()
    file.write_bytes(damage if isinstance(damage, bytes) else whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"green/4\.png' is not a readable image") as caught:
        _search(divided)
    assert "\n" not in str(caught.value)


def test_layouts_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.dir must hold train/ and test/, or classes"):
        _search(tmp_path)
    _write(tmp_path / "train", 2)
    with pytest.raises(DataError, match=r"test' does not exist; data\.dir must hold"):
        _search(tmp_path)
    _write(tmp_path / "test", 2)
    shutil.rmtree(tmp_path / "test" / "blue")
    with pytest.raises(DataError, match=r"class 'blue' is in '.*train', but not in test/"):
        _retrain(tmp_path)
    shutil.rmtree(tmp_path / "train" / "blue")
    shutil.rmtree(tmp_path / "train" / "green")
    with pytest.raises(DataError, match="has one class, but must have at least 2"):
        _search(tmp_path)


def test_a_class_without_images_is_named(divided: Path) -> None:
    (divided / "train" / "yellow").mkdir()
    (divided / "train" / "yellow" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match="yellow") as caught:
        _search(divided)
    assert "\n" not in str(caught.value)
