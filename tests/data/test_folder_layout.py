"""Which folders are splits, which are classes, and which are neither."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tune_nas.config import DataConfig
from tune_nas.data import describe_images, load_data
from tune_nas.data.folder_layout import Layout, find_layout, list_images
from tune_nas.data.vision import import_torchvision
from tune_nas.errors import DataError
from tune_nas.paths import holds_runs


def _image(*parts: str | Path) -> None:
    file = Path(*parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(file)


def _classes(root: Path, *names: str, n: int = 3) -> None:
    for name in names:
        for number in range(n):
            _image(root, name, f"{number}.png")


def _run(storage: Path, name: str = "lambda") -> None:
    """Write what a sweep leaves in its storage: its drawings are images too."""
    _image(storage, name, "search", "search-00000", "alphas.png")
    _image(storage, name, "figure.png")
    (storage / name / "sweep.yaml").write_text("name: lambda\n")
    (storage / name / "state.json").write_text("{}")


def _found(root: Path, layout: str = "auto") -> tuple[str, ...]:
    """Return the classes of the training images, as a trial finds them."""
    config = DataConfig(name="folder", dir=str(root), layout=layout)  # type: ignore[arg-type]
    data = load_data(config, seed=0, device=torch.device("cpu"), for_search=False)
    classes = list_images(find_layout(root, config.layout).train).classes
    assert len(classes) == data.n_classes
    return classes


def test_the_order_of_images_is_that_of_torchvision(tmp_path: Path) -> None:
    # The seeded division of the images depends on it.
    for name in ("b/1.png", "b/10.png", "b/2.PNG", "b/deep/er/0.png", "b/deep.png", "B/x.png"):
        _image(tmp_path, name)
    _image(tmp_path, "a", "z.png")
    _image(tmp_path, "a", "inner", "a.png")
    listing = list_images(tmp_path)
    truth = import_torchvision().datasets.ImageFolder(str(tmp_path))
    found = [(str(f), label) for f, label in zip(listing.files, listing.labels, strict=True)]
    assert found == truth.samples
    assert list(listing.classes) == truth.classes == ["B", "a", "b"]


@pytest.mark.parametrize(
    "hidden", [".ipynb_checkpoints/x.png", "cat/.thumbs/x.png", "cat/._0.png", "__MACOSX/x.png"]
)
def test_hidden_files_and_folders_are_no_images(hidden: str, tmp_path: Path) -> None:
    _classes(tmp_path, "cat", "dog")
    _image(tmp_path, hidden)
    listing = list_images(tmp_path)
    assert (listing.classes, len(listing.files), listing.other) == (("cat", "dog"), 6, {})
    assert _found(tmp_path) == ("cat", "dog")


def test_a_storage_among_the_classes_is_no_class(tmp_path: Path) -> None:
    _classes(tmp_path, "cat", "dog")
    before = list_images(tmp_path)
    _run(tmp_path / "runs")  # the usual storage; another one has another name
    _run(tmp_path / "results of mine", "second")
    _run(tmp_path, "third")  # the storage is the folder itself
    (tmp_path / "mlflow.db").write_text("")
    _image(tmp_path, "mlartifacts", "1", "artifacts", "cells.png")
    _run(tmp_path / "cat")  # and even within a class
    assert list_images(tmp_path) == before
    (tmp_path / "runs" / "half-made").mkdir()
    assert list_images(tmp_path) == before
    assert _found(tmp_path) == ("cat", "dog")


def test_folders_named_as_those_of_runs_can_be_classes(tmp_path: Path) -> None:
    _classes(tmp_path, "runs", "mlartifacts")
    assert not holds_runs(tmp_path / "runs")
    assert _found(tmp_path) == ("mlartifacts", "runs")


@pytest.mark.parametrize(
    ("train", "test", "unread"),
    [
        ("train", "test", ()),
        ("Train", "Test", ()),
        ("training", "TESTING", ()),
        ("train", "val", ()),
        ("train", "Validation", ()),
        ("train", "test", ("raw", "valid")),
    ],
)
def test_splits_by_their_usual_names(
    train: str, test: str, unread: tuple[str, ...], tmp_path: Path
) -> None:
    for name in (train, test, *unread):
        _classes(tmp_path / name, "cat", "dog")
    assert find_layout(tmp_path, "auto") == Layout(tmp_path / train, tmp_path / test, unread)
    assert find_layout(tmp_path, "splits") == find_layout(tmp_path, "auto")
    assert _found(tmp_path) == ("cat", "dog")


def test_classes_that_are_named_as_splits(tmp_path: Path) -> None:
    _classes(tmp_path, "bus", "car", "train")
    with pytest.raises(DataError, match=r"test' does not exist.*'train' is a class, set data\.lay"):
        find_layout(tmp_path, "auto")
    assert _found(tmp_path, "classes") == ("bus", "car", "train")
    _classes(tmp_path, "valid", "invalid")
    for name in ("bus", "car", "train"):
        for file in (tmp_path / name).iterdir():
            file.unlink()
        (tmp_path / name).rmdir()
    assert _found(tmp_path) == ("invalid", "valid")  # neither train nor test: no splits
    with pytest.raises(DataError, match=r"train' does not exist"):
        find_layout(tmp_path, "splits")


def test_what_is_ambiguous_is_refused(tmp_path: Path) -> None:
    both = tmp_path / "both"
    for name in ("train", "training", "test"):
        _classes(both / name, "cat", "dog")
    with pytest.raises(DataError, match=r"has 'train' and 'training' for train; keep one"):
        find_layout(both, "auto")
    within = tmp_path / "within"
    for name in ("cat", "dog"):
        _classes(within / name, "train", "val")
    with pytest.raises(DataError, match=r"cat' holds splits \(train, val\), but they must be"):
        find_layout(within, "auto")
    assert find_layout(within, "classes") == Layout(within, None)


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    _classes(tmp_path, "cat", "dog")
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat", target_is_directory=True)
    assert len(list_images(tmp_path).files) == 6


def test_the_line_names_classes_and_counts(tmp_path: Path) -> None:
    _classes(tmp_path / "train", "cat", "dog", n=3)
    _classes(tmp_path / "train", "eel\x1b[31m", n=4)
    _classes(tmp_path / "test", "cat", "dog", "eel\x1b[31m", n=2)
    _image(tmp_path, "val", "cat", "0.png")
    (tmp_path / "train" / "cat" / "a.heic").write_text("")
    (tmp_path / "train" / "dog" / "b.HEIC").write_text("")
    config = DataConfig(name="folder", dir=str(tmp_path))
    assert describe_images(config) == (
        f"data: 3 classes in '{tmp_path}', 10 training + 6 test images: cat 3+2, dog 3+2, "
        "eel\\x1b[31m 4+2; not read: val/, 2 .heic files"
    )
    assert describe_images(DataConfig()) is None


def test_the_line_of_one_root_and_of_many_classes(tmp_path: Path) -> None:
    names = [f"c{number:02d}" for number in range(15)]
    _classes(tmp_path, *names, n=5)
    line = describe_images(DataConfig(name="folder", dir=str(tmp_path)))
    assert line is not None
    assert "15 classes" in line and "60 training + 15 test images" in line
    assert line.endswith("c10 4+1, c11 4+1, and 3 more")


def test_the_line_of_a_search_needs_no_test_images(tmp_path: Path) -> None:
    _classes(tmp_path / "train", "cat", "dog")
    (tmp_path / "test").mkdir()
    line = describe_images(DataConfig(name="folder", dir=str(tmp_path)))
    assert line is not None and "6 training + no test images: cat 3, dog 3" in line
