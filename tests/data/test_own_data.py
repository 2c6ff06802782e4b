"""Data sets of a user's own, named ``module:function``, registered, or added by a package."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tune_nas import manifest
from tune_nas.config import DataConfig, TrialConfig, check_data_keys
from tune_nas.data import (
    Part,
    Source,
    dataset_description,
    dataset_names,
    describe_images,
    load_data,
    register_dataset,
)
from tune_nas.errors import CheckpointError, ConfigError, DataError, DataUnavailableError
from tune_nas.library import load_trial
from tune_nas.search.checkpoint_compatibility import check_same
from tune_nas.sweep.trial_values import portable

EXAMPLES = Path(__file__).parents[2] / "examples"
CPU = torch.device("cpu")
HEAD = """
import torch
from tune_nas.data import Source
LABELS = torch.arange(8) % 2
IMAGES = torch.zeros(8, 1, 4, 4, dtype=torch.uint8)
"""


@pytest.fixture
def write(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], DataConfig]:
    """Return a function that writes a module of the test's own, and names its function ``f``."""
    module = f"data_of_{request.node.name.partition('[')[0]}"
    module = f"{module}_{len([name for name in sys.modules if name.startswith(module)])}"

    def write(body: str) -> DataConfig:
        code = f"{HEAD}\ndef f(config, part):\n    {body}\n"
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        return DataConfig(name=f"{module}:f", module_dir=str(tmp_path))

    return write


def test_the_example_is_found_beside_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    trial = load_trial(EXAMPLES / "own-data.yaml")
    assert trial.data.module_dir == str(EXAMPLES)
    data = load_data(trial.data, seed=0, device=CPU, for_search=False)
    assert sys.path == path
    assert (len(data.train), len(data.test), data.n_classes, data.mirrors) == (480, 120, 4, False)
    images = data.train.images[:, 0].float()
    labels = data.train.labels
    # along a stripe the pixels differ by noise alone: of the first two classes, rows and columns
    across = images.mean(dim=2).std(dim=1), images.mean(dim=1).std(dim=1)
    for label, (varies, constant) in enumerate([across, across[::-1]]):
        chosen = labels == label
        assert (varies[chosen] > 2 * constant[chosen]).all()
    assert describe_images(trial.data) == (
        "data: 4 classes in 'own_data:stripes', 480 training + 120 test images: "
        "horizontal 120+30, vertical 120+30, falling 120+30, rising 120+30"
    )
    assert dataset_description("own_data:stripes").startswith("Return gray images of stripes")


def test_a_short_form_and_a_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("", encoding="utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text("data: here:f\n", encoding="utf-8")
    assert load_trial(file).data.module_dir == str(tmp_path)
    file.write_text("data: {name: here:f, module_dir: other}\n", encoding="utf-8")
    trial = load_trial(file)
    assert trial.data.module_dir == "other"
    assert portable(trial, "/home/ann").data.module_dir == "/home/ann/other"
    file.write_text("data: elsewhere:f\n", encoding="utf-8")
    assert load_trial(file).data.module_dir is None  # as Python finds it
    assert portable(load_trial(file), "/home/ann").data.module_dir == "/home/ann"
    assert portable(load_trial("milenas"), "/home/ann").data.module_dir is None


def test_a_checkpoint_is_resumed_where_the_module_has_moved() -> None:
    def trial(module_dir: str | None, name: str = "own_data:stripes") -> TrialConfig:
        return TrialConfig(data=DataConfig(name=name, module_dir=module_dir))

    check_same(trial("/here"), trial("/there").to_dict())
    before = trial(None).to_dict()
    del before["data"]["module_dir"]  # as the version before this key has it
    check_same(trial("/here"), before)
    with pytest.raises(CheckpointError, match="data"):
        check_same(trial("/here"), trial("/here", name="other:stripes").to_dict())


def test_a_folder_without_an_own_data_set_is_refused() -> None:
    message = "data.module_dir is 'x', but has no effect where data.name is 'digits'; it needs a "
    with pytest.raises(ConfigError, match=re.escape(message + "custom data set")):
        load_trial("milenas", {"data.module_dir": "x"})


def test_it_may_read_every_key_of_the_section(write: Callable[[str], DataConfig]) -> None:
    config = write("assert config.dir == 'images'; return Source(LABELS, 2, IMAGES.__getitem__)")
    config = config.model_copy(update={"dir": "images", "download": True, "background": "black"})
    check_data_keys([config])
    assert load_data(config, seed=0, device=CPU, for_search=True).n_classes == 2


BAD = {
    "nothing": ("return None", ConfigError, "is of type NoneType, but must be a tune_nas.data.Sou"),
    "float labels": (
        "return Source(LABELS.float(), 2, IMAGES.__getitem__)",
        ConfigError,
        "has labels of type float32 and shape (8,), but they must be int64 of shape (n,)",
    ),
    "no images": ("return Source(LABELS[:0], 2, IMAGES.__getitem__)", ConfigError, "no images"),
    "too few classes": (
        "return Source(LABELS, 1, IMAGES.__getitem__)",
        ConfigError,
        "has labels from 0 to 1, but with 1 classes they must be from 0 to 0",
    ),
    "float images": (
        "return Source(LABELS, 2, IMAGES.float().__getitem__)",
        ConfigError,
        "reads images of type float32 and shape (8, 1, 4, 4), but they must be uint8 of shape (8, "
        "channels, side, side) on the CPU",
    ),
    "all images": ("return Source(LABELS[:4], 2, lambda i: IMAGES)", ConfigError, "of shape (4, c"),
    "error": ("return 1 / 0", DataError, "cannot be read: division by zero"),
    "error later": ("return Source(LABELS, 2, lambda i: 1 / 0)", DataError, "division by zero"),
    "exit": ("raise SystemExit(3)", DataError, "cannot be read: it calls sys.exit (3)"),
}


@pytest.mark.parametrize(("body", "kind", "message"), BAD.values(), ids=BAD)
def test_what_is_no_data_set_is_refused_in_one_line(
    write: Callable[[str], DataConfig], body: str, kind: type[Exception], message: str
) -> None:
    config = write(body)
    with pytest.raises(kind) as error:
        load_data(config, seed=0, device=CPU, for_search=True)
    assert str(error.value).startswith(f"data.name is '{config.name}', whose train part ")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not isinstance(error.value, DataUnavailableError)


def test_files_out_of_reach_may_be_there_later(write: Callable[[str], DataConfig]) -> None:
    config = write("open('/absent/file')")
    with pytest.raises(DataUnavailableError, match="No such file"):
        load_data(config, seed=0, device=CPU, for_search=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_data:_SIDE", "data.name is 'own_data:_SIDE', but must be a function that opens a pa"),
        ("own_data:nothing", "but must be a function that opens a part of a data set"),
        ("no_such_data:f", "but importing it fails: No module named 'no_such_data'"),
    ],
)
def test_what_cannot_be_imported_is_refused(name: str, message: str) -> None:
    config = DataConfig(name=name, module_dir=str(EXAMPLES))
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_data(config, seed=0, device=CPU, for_search=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "digts",
            "must be one of digits, cifar10, cifar100, svhn, imagenet16-120, folder, "
            "imagenet, fake, or a custom module:function",
        ),
        ("digts", "did you mean 'digits'?"),
        ("a b:f", "data.name is 'a b:f', but must be written module:function, as my_parts:my_fun"),
    ],
)
def test_an_unknown_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_trial("milenas", {"data.name": name})


def test_a_registered_function_has_a_name_and_may_be_registered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manifest, "_registered", {})

    def define(brightness: int) -> None:
        @register_dataset("registered-in-a-test")
        def even(config: DataConfig, part: Part) -> Source:
            """Make images that are all alike."""
            images = torch.full((4, 1, 4, 4), brightness, dtype=torch.uint8)
            return Source(torch.arange(4) % 2, 2, images.__getitem__)

    for brightness in (1, 2):  # the cell of a notebook, run twice
        define(brightness)
    config = DataConfig(name="registered-in-a-test")
    data = load_data(config, seed=0, device=CPU, for_search=True)
    assert data.train.images.unique().tolist() == [2]
    assert "registered-in-a-test" in dataset_names()
    assert dataset_description("registered-in-a-test") == "Make images that are all alike."

    def other(config: DataConfig, part: Part) -> Source:
        raise AssertionError

    with pytest.raises(ValueError, match="named 'registered-in-a-test' is registered already"):
        register_dataset("registered-in-a-test")(other)
