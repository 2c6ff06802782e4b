"""Images read when needed: the same batches for any number of processes and at any position."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from children import children
from PIL import Image
from torch import Tensor

from tune_nas.config import AugmentConfig, DataConfig
from tune_nas.data import (
    DataSource,
    RetrainData,
    SearchData,
    StreamedData,
    describe_data,
    load_data,
)
from tune_nas.data.streaming import StreamedBatches, batch_plan
from tune_nas.errors import CheckpointError, ConfigError, DataError
from tune_nas.testing import DataSetContract

CPU = torch.device("cpu")
RESIZED = AugmentConfig(crop="resized", flip=True, color_jitter=(0.4, 0.4, 0.4, 0.2), cutout=4)
PADDED = AugmentConfig(crop_padding=2, flip=True, cutout=4)


def write_images(root: Path, test: str = "val", per_class: int = 6) -> Path:
    """Write JPEGs of 3 classes and different sizes, half of them for testing."""
    for part, n in (("train", per_class), (test, per_class // 2)):
        for label, name in enumerate(("n01", "n02", "n03")):
            (root / part / name).mkdir(parents=True)
            for number in range(n):
                values = np.random.default_rng((label, number, len(part))).integers(
                    0, 256, (3 + number, 4, 3), dtype=np.uint8
                )
                image = Image.fromarray(values).resize((40 + 5 * number, 44), Image.BILINEAR)
                image.save(root / part / name / f"{number}.JPEG")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def load(folder: Path, *, dtype: torch.dtype = torch.float32, **keys: Any) -> StreamedData:
    content = {"name": "imagenet", "dir": str(folder), "resolution": 16, "workers": 0, **keys}
    config = DataConfig.model_validate(content)
    data = load_data(config, seed=0, device=CPU, dtype=dtype, for_search=False)
    assert isinstance(data, StreamedData)
    return data


def stream(data: DataSource, augment: AugmentConfig | None = RESIZED, seed: int = 7) -> Any:
    return data.train_stream(4, seed, augment, "retrain.augment")


def take(batches: Any, n: int) -> list[tuple[Tensor, Tensor]]:
    return [batches.next() for _ in range(n)]


def assert_same(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> None:
    for (images, labels), (others, theirs) in zip(first, second, strict=True):
        assert torch.equal(images, others) and torch.equal(labels, theirs)


class TestImageNet(DataSetContract):
    name = "imagenet"

    @pytest.fixture(autouse=True)
    def _images(self, folder: Path) -> None:
        self.folder = folder

    def config(self) -> DataConfig:
        changes = {"dir": str(self.folder), "resolution": 16}
        return super().config().model_copy(update=changes)


def test_any_number_of_processes_gives_the_same_batches(folder: Path) -> None:
    alone = take(stream(load(folder)), 9)  # two epochs of 4 steps, and one step
    for workers in (1, 2, 3):
        batches = stream(load(folder, workers=workers))
        assert_same(alone, take(batches, 9))
        batches.close()


def test_selected_images_are_those_of_the_batches(folder: Path) -> None:
    data = load(folder)
    [(images, labels)] = list(data.test_batches(99))
    selected = data.test.select(torch.tensor([4, 0]))
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    found = (selected.images.float() / 255 - mean) / std
    torch.testing.assert_close(found, images[[4, 0]], atol=1e-5, rtol=1e-5)
    assert torch.equal(selected.labels, labels[[4, 0]])


def test_more_threads_give_the_same_batches(folder: Path) -> None:
    large: dict[str, Any] = {"resolution": 224}  # a sum over so many pixels would be divided
    alone = take(stream(load(folder, **large)), 2)
    torch.set_num_threads(2)
    assert_same(alone, take(stream(load(folder, **large)), 2))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("position", "workers"), [(0, 2), (3, 0), (4, 2), (6, 0)])
def test_a_stream_is_resumed_at_any_position(folder: Path, workers: int, position: int) -> None:
    straight = take(stream(load(folder)), 9)
    first = stream(load(folder, workers=workers))
    take(first, position)
    state = first.state_dict()
    take(first, 1)  # lost in the crash
    second = stream(load(folder, workers=2 - workers))
    take(second, 2)
    second.load_state_dict(state)
    assert_same(straight[position:], take(second, 9 - position))
    assert second.state_dict() == {"images": 18, "batch_size": 4, "epoch": 2, "position": 1}
    first.close()
    second.close()


def test_each_pass_has_every_image_once_in_another_order() -> None:
    plan = batch_plan(18, 4, 7)
    passes = [[item for _ in range(4) for item in next(plan)] for _ in range(3)]
    for epoch, items in enumerate(passes):
        assert {each for each, _ in items} == {epoch}
        positions = [position for _, position in items]
        assert len(set(positions)) == 16 and set(positions) <= set(range(18))
    assert passes[0] != [(0, position) for _, position in passes[1]]
    other = batch_plan(18, 4, 8)
    assert [item for _ in range(4) for item in next(other)] != passes[0]


def test_the_changes_of_an_image_depend_on_epoch_and_index_alone(folder: Path) -> None:
    """Whatever the batch: with another batch size, the same changed images come."""

    def images_of(size: int, epochs: int) -> list[set[bytes]]:
        data = load(folder)
        batches = data.train_stream(size, 7, RESIZED, "retrain.augment")
        return [
            {
                image.numpy().tobytes()
                for _ in range(batches.steps_per_epoch)
                for image in batches.next()[0]
            }
            for _ in range(epochs)
        ]

    by_nine, by_six = images_of(9, 2), images_of(6, 2)
    assert by_nine == by_six
    assert len(by_nine[0]) == len(by_nine[1]) == 18 and not by_nine[0] & by_nine[1]


def test_without_changes_the_images_are_those_of_the_evaluation(folder: Path) -> None:
    data = load(folder, dtype=torch.float64)
    images, labels = stream(data, None).next()
    positions = [position for _, position in next(batch_plan(18, 4, 7))]
    pixels = data.train.source.read(torch.tensor(positions))
    mean, std = (
        torch.tensor(each, dtype=torch.float64)[:, None, None] for each in (data.mean, data.std)
    )
    torch.testing.assert_close(images, (pixels.double() / 255 - mean) / std, rtol=0, atol=1e-12)
    assert labels.tolist() == [position // 6 for position in positions]


def test_cutout_is_applied_to_normalized_images(folder: Path) -> None:
    augment = AugmentConfig(crop_padding=0, flip=False, cutout=6)
    data = load(folder)
    plain, _ = stream(data, AugmentConfig(crop_padding=0, flip=False)).next()
    blanked, _ = stream(data, augment).next()
    assert (blanked == 0).any(dim=(1, 2, 3)).all()
    assert torch.equal(blanked[blanked != 0], plain[blanked != 0])


def test_a_streamed_folder_has_the_test_images_of_a_resident_one(folder: Path) -> None:
    keys: dict[str, Any] = {"name": "folder", "dir": str(folder), "resolution": 16, "fit": "pad"}
    resident = load_data(DataConfig(**keys), seed=0, device=CPU, for_search=False)
    assert isinstance(resident, RetrainData)
    streamed = load(folder, **keys, streaming=True, workers=1)
    # the statistics are those of all 18 images, which is less than the sample
    assert (streamed.mean, streamed.std) == (resident.mean, resident.std)
    assert_same(list(resident.test_batches(4)), list(streamed.test_batches(4)))
    assert (streamed.n_train, resident.n_train) == (18, 18)
    take(stream(streamed, PADDED), 1)
    few = load(folder, **keys, streaming=True, train_images=6)
    assert few.train.index.tolist() != list(range(6))  # a sample with two of each class
    assert torch.bincount(few.train.source.labels[few.train.index]).tolist() == [2, 2, 2]


def test_a_process_gets_its_images_of_each_batch(folder: Path) -> None:
    keys: dict[str, Any] = {"name": "folder", "dir": str(folder), "resolution": 16, "fit": "pad"}
    resident = load_data(DataConfig(**keys), seed=0, device=CPU, for_search=False)
    streamed = load(folder)
    for data, augment in ((resident, PADDED), (streamed, RESIZED)):
        part, whole = stream(data, augment), stream(data, augment)
        part.select([3, 1])
        wanted = [(images[[3, 1]], labels[[3, 1]]) for images, labels in take(whole, 6)]
        assert_same(take(part, 6), wanted)
        assert_same(list(data.test_batches(4, 1, 2)), list(data.test_batches(4))[1::2])
    assert len(list(streamed.test_batches(4, 5))) == 0


def test_a_custom_data_set_can_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "streamed_gray.py").write_text(CUSTOM)
    keys: dict[str, Any] = {"name": "streamed_gray:gray", "module_dir": str(tmp_path)}
    data = load(tmp_path, **keys, workers=1, resolution=None)
    images, labels = stream(data).next()
    assert images.shape == (4, 1, 8, 8) and len(labels) == 4
    assert (data.in_channels, data.image_size) == (1, 8)
    assert sum(len(labels) for _, labels in data.test_batches(4)) == 10
    monkeypatch.setenv("FAIL_FROM", "3")  # image 0 is read for the shape
    with pytest.raises(DataError, match=r"streamed_gray:gray', whose train part .* 'no image'"):
        take(stream(load(tmp_path, **keys, workers=1, resolution=None, train_images=8)), 9)


CUSTOM = """
import os, torch
from tune_nas.data import Source

def gray(config, part):
    def read(index):
        if len(index) == 1 and int(index) >= int(os.environ.get("FAIL_FROM", 10)):
            raise KeyError("no image")
        return (25 * index)[:, None, None, None].expand(-1, 1, 8, 8).to(torch.uint8).contiguous()

    return Source(torch.arange(10) % 2, 2, read, streams=True)
"""


def test_a_search_keeps_its_images_in_memory(folder: Path) -> None:
    config = DataConfig(name="imagenet", dir=str(folder), resolution=16, train_images=12)
    data = load_data(config, seed=0, device=CPU, for_search=True)
    assert isinstance(data, SearchData)
    assert data.train.images.shape == (6, 3, 16, 16)
    assert describe_data(config).streams


def test_memory_and_generator_stay_as_they_are(folder: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    data = load(folder, workers=1)
    batches = stream(data)
    take(batches, 2)
    list(data.test_batches(4))
    batches.close()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_one_line_with_its_name(tmp_path: Path, workers: int) -> None:
    root = write_images(tmp_path)
    for part, name in (("train", "n02/3.JPEG"), ("val", "n03/1.JPEG")):
        file = root / part / name
        content = file.read_bytes()
        before = children()
        file.write_bytes(content[:300])
        data = load(root, workers=workers)
        with pytest.raises(DataError, match=rf"{part}/{name}' is not a readable image") as caught:
            take(stream(data), 8) if part == "train" else list(data.test_batches(4))
        assert "\n" not in str(caught.value) and not caught.value.passing
        assert children() == before  # although the error, and with it the traceback, is still there
        file.write_bytes(content)


def test_processes_end_with_the_stream(folder: Path) -> None:
    before = children()
    batches = stream(load(folder, workers=2))
    assert children() == before  # they start when they are needed
    take(batches, 1)
    assert len(children() - before) == 2
    batches.close()
    assert children() == before
    take(batches, 1)
    del batches
    assert children() == before
    data = load(folder, workers=2)
    passing = data.test_batches(4)
    next(passing)
    assert len(children() - before) == 2
    passing.close()  # type: ignore[attr-defined]
    assert children() == before


def test_a_process_that_is_killed_is_one_line(folder: Path) -> None:
    before = children()
    batches = stream(load(folder, workers=1))
    take(batches, 1)
    (worker,) = children() - before
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(DataError, match=r"process that reads images .* ended") as caught:
        for _ in range(100):
            batches.next()
            time.sleep(0.01)
    assert caught.value.passing and "\n" not in str(caught.value)
    assert children() == before


def test_a_failing_disk_may_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(folder, workers=1)

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(DataError, match=r"cannot be read \(Stale file handle\)") as caught:
        stream(data).next()
    assert caught.value.passing  # the type of the error comes back from the other process


def test_the_state_of_other_images_is_refused(folder: Path) -> None:
    state = stream(load(folder)).state_dict()
    for changed in ({"images": 17}, {"batch_size": 5}):
        with pytest.raises(CheckpointError, match="the state of a data stream has"):
            stream(load(folder)).load_state_dict({**state, **changed})
    with pytest.raises(ValueError, match="batch_size is 0"):
        StreamedBatches(load(folder), 0, 0, None)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "folder", "streaming": True, "resolution": None}, "needs data.resolution"),
        ({"dir": None}, "data.dir is not given, but imagenet needs"),
        ({"dir": "absent"}, "'.*absent' does not exist"),
    ],
)
def test_bad_settings_are_named(folder: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        load(folder, **keys)


def test_val_must_have_the_classes_of_train(tmp_path: Path) -> None:
    root = write_images(tmp_path)
    (root / "val" / "n03").rename(root / "val" / "n04")
    with pytest.raises(DataError, match=r"class 'n03' is in '.*train', but not in val/"):
        load(root)
    (root / "val").rename(root / "test")
    with pytest.raises(DataError, match="val' does not exist; imagenet needs the folder"):
        load(root)


def test_images_in_memory_cannot_be_changed_so() -> None:
    config = DataConfig(name="fake")
    data = load_data(config, seed=0, device=CPU, for_search=False)
    for augment, value in ((RESIZED, "crop is 'resized'"), (JITTER, "color_jitter is [0.1, 0")):
        with pytest.raises(ConfigError) as caught:
            stream(data, augment)
        assert f"retrain.augment.{value}" in str(caught.value)
        assert "set data.name to imagenet, or data.streaming" in str(caught.value)
    search = load_data(config, seed=0, device=CPU, for_search=True)
    with pytest.raises(ConfigError, match=r"data.augment.crop is 'resized', but a search keeps"):
        search.batches(search.train, 4, torch.Generator(), RESIZED, "data.augment")


JITTER = AugmentConfig(color_jitter=(0.1, 0.0, 0.0, 0.0))
