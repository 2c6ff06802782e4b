"""From a data section to divided images, and what a search does not touch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tune_nas import manifest
from tune_nas.config import DataConfig
from tune_nas.data import (
    Images,
    Part,
    RetrainData,
    SearchData,
    Source,
    channel_statistics,
    dataset_description,
    dataset_names,
    dataset_registry,
    load_data,
    register_dataset,
    resize,
    small,
)
from tune_nas.errors import ConfigError, DataError

CPU = torch.device("cpu")


def _search(seed: int = 0, **data: Any) -> SearchData:
    return load_data(DataConfig(**data), seed=seed, device=CPU, for_search=True)


def _retrain(seed: int = 0, **data: Any) -> RetrainData:
    return load_data(DataConfig(**data), seed=seed, device=CPU, for_search=False)


def _keys(images: Images) -> list[bytes]:
    """Return each image's pixels and label as bytes."""
    return [
        image.numpy().tobytes() + bytes([int(label)])
        for image, label in zip(images.images, images.labels, strict=True)
    ]


def test_digits_are_all_there_and_divided_in_the_same_shares() -> None:
    from sklearn.datasets import load_digits

    data = _retrain(name="digits")
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert (data.n_classes, data.in_channels, data.image_size) == (10, 1, 8)
    bunch = load_digits()
    truth = [
        image.astype(int).tobytes() + bytes([int(label)])
        for image, label in zip(bunch.images, bunch.target, strict=True)
    ]
    ours = [
        (image[0] / 255 * 16).round().long().numpy().tobytes() + bytes([int(label)])
        for part in (data.train, data.test)
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    assert sorted(ours) == sorted(truth)
    shares = torch.bincount(data.test.labels) / torch.bincount(data.train.labels)
    assert torch.allclose(shares, torch.tensor(360 / 1437), rtol=0.06)


def test_the_digits_for_testing_do_not_depend_on_the_seed() -> None:
    # The division is part of the data set: results before and after a change of it differ.
    sums = {
        int((data.test.labels * torch.arange(360)).sum() + data.test.images.long().sum())
        for data in (
            _retrain(seed, name="digits", split=split)
            for seed in (0, 5)
            for split in ("seed", "fixed")
        )
    }
    assert sums == {2093697}


def test_fake_images_are_learnable_from_train_to_test() -> None:
    data = _retrain(name="fake")
    centers = torch.stack(
        [
            data.train.images[data.train.labels == label].double().mean(dim=0)
            for label in range(data.n_classes)
        ]
    )
    distances = torch.cdist(data.test.images.double().flatten(1), centers.flatten(1))
    right = (distances.argmin(dim=1) == data.test.labels).double().mean()
    assert right > 0.9
    assert set(_keys(data.train)).isdisjoint(_keys(data.test))


@pytest.mark.parametrize("portion", [0.004, 0.1, 0.5, 0.73, 0.996])
@pytest.mark.parametrize("split", ["seed", "fixed"])
def test_halves_are_disjoint_and_make_up_the_training_images(portion: float, split: str) -> None:
    data = _search(3, name="fake", train_portion=portion, split=split)
    train, valid, both = _keys(data.train), _keys(data.valid), _keys(data.all_train)
    assert len(train) == round(portion * 256)
    assert train + valid == both
    assert len(set(both)) == 256
    assert sorted(both) == sorted(_keys(_retrain(name="fake").train))


def test_all_train_shares_the_memory_of_the_halves() -> None:
    data = _search(name="fake")
    base = data.all_train.images.untyped_storage().data_ptr()
    assert data.train.images.untyped_storage().data_ptr() == base
    assert data.valid.images.untyped_storage().data_ptr() == base


def test_the_split_is_by_seed_or_fixed() -> None:
    by_seed = [_keys(_search(seed, name="fake").train) for seed in (1, 1, 2)]
    assert by_seed[0] == by_seed[1]
    assert set(by_seed[0]) != set(by_seed[2])
    fixed = [_keys(_search(seed, name="fake", split="fixed").train) for seed in (1, 2)]
    assert fixed[0] == fixed[1]


def test_train_images_are_a_stratified_draw_and_the_same_for_the_retraining() -> None:
    draws = []
    for seed, split in ((1, "seed"), (2, "seed"), (1, "fixed"), (2, "fixed")):
        data = _search(seed, name="digits", train_images=100, split=split)
        assert len(data.all_train) == 100
        counts = torch.bincount(data.all_train.labels, minlength=10)
        assert int(counts.min()) >= 9 and int(counts.max()) <= 11
        retrained = _retrain(seed, name="digits", train_images=100, split=split)
        assert sorted(_keys(data.all_train)) == sorted(_keys(retrained.train))
        assert len(retrained.test) == 360
        draws.append(set(_keys(data.all_train)))
    assert draws[0] != draws[1]
    assert draws[2] == draws[3]


def test_resolution_resizes_once_at_load() -> None:
    plain, small = _retrain(name="fake"), _retrain(name="fake", resolution=4)
    assert small.image_size == 4
    assert torch.equal(small.train.images, resize(plain.train.images, 4))
    assert torch.equal(small.test.images, resize(plain.test.images, 4))


def test_statistics_are_of_the_training_images_alone() -> None:
    search, retrain = _search(name="fake"), _retrain(name="fake")
    assert (search.mean, search.std) == channel_statistics(retrain.train.images)
    assert (retrain.mean, retrain.std) == (search.mean, search.std)


def test_streams_have_the_data_sets_statistics_and_type() -> None:
    data = load_data(
        DataConfig(name="fake"), seed=0, device=CPU, dtype=torch.float64, for_search=True
    )
    stream = data.batches(data.all_train, 256, torch.Generator(), None)
    (images, _), (whole, _) = stream.next(), next(data.evaluation_batches(data.all_train, 256))
    for batch in (images, whole):
        assert batch.dtype == torch.float64
        assert torch.allclose(batch.mean(dim=(0, 2, 3)), torch.zeros(3).double(), atol=1e-6)
        deviation = batch.std(dim=(0, 2, 3), correction=0)
        assert torch.allclose(deviation, torch.ones(3).double(), atol=1e-6)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Part, int]]:
    """Record which parts of `fake` are opened, and how many of their images are read."""
    reader = dataset_registry.find_reader("fake")
    record: list[tuple[Part, int]] = []

    def spy(config: DataConfig, part: Part) -> Source:
        source = reader(config, part)
        record.append((part, 0))

        def read(index: Tensor) -> Tensor:
            record.append((part, len(index)))
            return source.read(index)

        return Source(source.labels, source.n_classes, read)

    monkeypatch.setattr(small, "read_fake", spy)
    return record


def test_a_search_reads_no_test_image(opened: list[tuple[Part, int]]) -> None:
    _search(name="fake")
    assert opened == [("train", 0), ("train", 256)]


def test_only_the_drawn_images_are_read(opened: list[tuple[Part, int]]) -> None:
    _retrain(name="fake", train_images=40)
    assert opened == [("train", 0), ("train", 40), ("test", 0), ("test", 64)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train_images": 257}, r"data\.train_images is 257, but fake has 256 training images"),
        ({"train_portion": 0.001}, r"data\.train_portion is 0\.001, but must leave an image"),
        ({"train_portion": 0.999}, r"data\.train_portion is 0\.999, but must leave an image"),
        (
            {"train_images": 1},
            r"train_portion is 0\.5, but must leave an image in both halves of 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _search(name="fake", **data)


def test_every_data_set_of_the_configuration_is_registered_and_described() -> None:
    names = manifest.SHIPPED["datasets"]
    assert dataset_names() == tuple(sorted(names))
    for name in names:
        assert len(dataset_description(name)) > 20


def test_names_are_unique_and_unknown_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="named 'fake' is registered already"):
        register_dataset("fake")
    with pytest.raises(ConfigError, match=r"data\.name is 'faces', but must be one of cifar10"):
        dataset_description("faces")


@pytest.mark.parametrize(
    "name", ["cifar10", "cifar100", "svhn", "imagenet16-120", "folder", "imagenet"]
)
@pytest.mark.parametrize("load", [_search, _retrain])
def test_a_missing_folder_is_one_line(
    name: str, load: Callable[..., SearchData | RetrainData], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    inner = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
    (tmp_path / "held").mkdir()
    held = tmp_path / "held" if name in inner else file
    if name in inner:
        (held / inner[name]).write_text("no folder")
    for folder, words in (
        (tmp_path / "absent", "absent.*' does not exist"),
        (held, "' is not a folder"),
        (None, "data.dir is not given"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            load(name=name, dir=None if folder is None else str(folder))
        assert "\n" not in str(caught.value)
        assert "data.dir" in str(caught.value)


def test_a_folder_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, whom no permission stops.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(DataError, match=r"' cannot be read; data\.dir must hold"):
        _search(name="folder", dir=str(tmp_path))
