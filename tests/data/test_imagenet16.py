"""ImageNet16-120, from small files in the published format, and files that would run code."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tune_nas.config import DataConfig
from tune_nas.data import load_data
from tune_nas.data.imagenet16 import FILES
from tune_nas.data.pickled_arrays import array_of, read_pickle
from tune_nas.errors import DataError, TuneNasError
from tune_nas.testing import DataSetContract

NAMES = [f"train_data_batch_{number}" for number in range(1, 11)] + ["val_data"]
PROTOCOLS = [0, 1, 2, 3, 4, 5]


def content_of(number: int) -> dict[str, Any]:
    """Return a batch of 30 images with every fourth class in turn, of which 12 are above 120."""
    pixels = np.random.default_rng(number).integers(0, 256, (30, 3 * 16 * 16), dtype=np.uint8)
    labels = [*range(number + 1, number + 121, 7), *range(121, 1001, 80), 1000]
    return {"data": pixels, "labels": labels, "mean": np.zeros(3 * 16 * 16)}


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, protocol: int = 2) -> Path:
    """Write the eleven files, with their own sums in place of the published ones."""
    for part in ("train", "test"):
        for name in FILES[part]:
            content = content_of(NAMES.index(name))
            (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
            update_sum(folder / name, monkeypatch)
    return folder


def update_sum(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = FILES["test" if file.name == "val_data" else "train"]
    monkeypatch.setitem(part, file.name, hashlib.md5(file.read_bytes()).hexdigest())


def load(folder: Path) -> Any:
    config = DataConfig(name="imagenet16-120", dir=str(folder))
    return load_data(config, seed=0, device=torch.device("cpu"), for_search=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_first_120_classes_are_read(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load(write(tmp_path, monkeypatch, protocol))
    expected = [
        (label - 1, pixels)
        for number in range(10)
        for label, pixels in zip(*map(content_of(number).get, ("labels", "data")), strict=True)
        if label <= 120
    ]
    assert data.train.labels.tolist() == [label for label, _ in expected]
    # a row holds the red pixels, row by row, then the green and the blue ones
    for image, (_, pixels) in zip(data.train.images, expected, strict=True):
        assert image[2, 3, 5] == pixels[2 * 256 + 3 * 16 + 5]
        assert torch.equal(image.flatten(), torch.from_numpy(pixels))
    assert len(data.test) == sum(label <= 120 for label in content_of(10)["labels"]) > 0
    assert (data.n_classes, data.image_size) == (120, 16)
    assert data.mean[1] * 255 == pytest.approx(116.66)


class TestImageNet16(DataSetContract):
    name = "imagenet16-120"

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(11):  # all 120 classes in each file
            pixels = np.random.default_rng(number).integers(0, 256, (240, 768), dtype=np.uint8)
            content = {"data": pixels, "labels": [*range(1, 121), *range(120, 240)]}
            file = tmp_path / NAMES[number]
            file.write_bytes(pickle.dumps(content, protocol=2))
            update_sum(file, monkeypatch)
        self.folder = tmp_path

    def config(self) -> DataConfig:
        return super().config().model_copy(update={"dir": str(self.folder)})


class Runs:
    """An object whose pickle calls `os.mkdir` when it is loaded."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_file_cannot_run_code(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, monkeypatch)
    made = tmp_path / "made"
    file = tmp_path / "train_data_batch_3"
    file.write_bytes(pickle.dumps({**content_of(2), "mean": Runs(str(made))}, protocol=protocol))
    update_sum(file, monkeypatch)
    with pytest.raises(DataError, match=r"train_data_batch_3' is not a pickle .*mkdir'") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert not made.exists()
    pickle.loads(file.read_bytes())
    assert made.exists()  # else the file would not have been dangerous


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([None, "text"]), "an array of type 'O8'"),
        (np.array(["a", "b"]), "an array of type 'U1'"),
        (np.zeros(2, dtype=[("a", "u1")]), "an array of type 'V1'"),
        (Path("/"), "PosixPath"),
        (complex(1, 2), "builtins.complex"),
        (np.random.default_rng(0), "it names 'numpy.random"),
    ],
)
def test_other_objects_are_refused(value: object, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(pickle.dumps({"data": value}))
    with pytest.raises(DataError, match=message) as caught:
        read_pickle(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "program",
    [
        b"cnumpy\nndarray\n}S'values'\nI1\nsb.",  # sets an attribute of the class
        b"cnumpy.core.multiarray\n_reconstruct\n}S'x'\nI1\nsb.",
        b"cnumpy\ndtype\n(S'u1'\ntR(I3\nS'<'\n(S'a'\ntNNI-1\nI-1\nI0\ntb}S'type'\nI1\nsb.",
        b"cnumpy.core.numeric\n_frombuffer\n(S'ab'\ncnumpy\ndtype\n(S'u1'\ntR(I3\ntS'C'\ntR.",
        b"ccollections\nOrderedDict\n)R}S'items'\nI1\nsb.",  # sets an attribute of the object
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x95",
        b"",
        b"no pickle",
    ],
)
def test_a_forged_pickle_is_one_line(program: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(program)
    with pytest.raises(DataError, match=r"is not a pickle of arrays: .") as caught:
        read_pickle(tmp_path / "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ordered_dictionaries_are_read(protocol: int, tmp_path: Path) -> None:
    times = OrderedDict([("b", np.float64(2.5)), ("a", OrderedDict([(1, np.float32(0.5))]))])
    (tmp_path / "file").write_bytes(pickle.dumps(times, protocol=protocol))
    content: Any = read_pickle(tmp_path / "file")
    assert list(content.items()) == [("b", 2.5), ("a", {1: 0.5})]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_all_numbers_are_read(protocol: int, tmp_path: Path) -> None:
    values = [
        np.arange(6).astype(kind).reshape(2, 3, order=order)
        for kind in ("u1", "<i8", ">i4", "f4", "f8", "?")
        for order in ("C", "F")
    ]
    (tmp_path / "file").write_bytes(
        pickle.dumps([*values, np.int64(7), np.array(5.0)], protocol=protocol)
    )
    content: Any = read_pickle(tmp_path / "file")
    for found, expected in zip(map(array_of, content[:-2]), values, strict=True):
        assert found is not None
        np.testing.assert_array_equal(found, expected)
    assert content[-2] == 7
    last = array_of(content[-1])
    assert last is not None and last.item() == 5.0


def test_wrong_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)
    file = tmp_path / "train_data_batch_7"

    def refused(content: dict[str, Any]) -> str:
        file.write_bytes(pickle.dumps(content))
        update_sum(file, monkeypatch)
        with pytest.raises(TuneNasError) as caught:
            load(tmp_path)
        assert str(file) in str(caught.value)
        return str(caught.value)

    whole = content_of(6)
    assert "'data' of 768 values" in refused({**whole, "data": whole["data"][:, 1:]})
    assert "'data' of 768 values" in refused({"labels": whole["labels"]})
    assert "'labels' from 1 to 1000" in refused({**whole, "labels": [0] * 30})
    assert "'labels' from 1 to 1000" in refused({**whole, "labels": whole["labels"][1:]})
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(DataError, match=r"batch_7' is damaged \(its MD5 sum"):
        load(tmp_path)
    file.unlink()
    with pytest.raises(DataError, match=r"batch_7' is missing"):
        load(tmp_path)
    config = DataConfig(name="imagenet16-120")
    with pytest.raises(DataError, match=r"data\.dir is not given, but imagenet16-120 needs it"):
        load_data(config, seed=0, device=torch.device("cpu"), for_search=True)
