"""Operations of a user's own, named ``module:function`` in a space's file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import yaml

from tune_nas.errors import ConfigError, GenotypeError
from tune_nas.spaces import (
    Genotype,
    Supernet,
    build_network,
    load_space,
    model_size,
    operation_kind,
)
from tune_nas.spaces.own_operations import load_operation

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = """
from torch import nn
from tune_nas.spaces import register_operation
"""


@pytest.fixture
def write_space(tmp_path: Path, request: pytest.FixtureRequest):
    """Return a function that writes a module of the test's own, and a space that names it."""
    module = f"operations_of_{request.node.name.partition('[')[0]}"
    number = len([name for name in sys.modules if name.startswith(module)])
    module = f"{module}_{number}"

    def write(code: str, *functions: str) -> Path:
        (tmp_path / f"{module}.py").write_text(HEAD + code, encoding="utf-8")
        operations = ["skip_connect", *(f"{module}:{function}" for function in functions)]
        cell = {"inputs": 1, "nodes": 2, "operations": operations, "output": "last"}
        skeleton = {"layout": "stages", "init_channels": 4, "cells": 1}
        path = tmp_path / "mine.yaml"
        content = {"cells": {"normal": cell}, "skeleton": skeleton}
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


def test_the_example_is_found_beside_its_file(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    space = load_space(EXAMPLES / "own-operations.yaml")
    conv, median = "own_operations:conv_5x5", "own_operations:median_3x3"
    assert set(space.cells["normal"].operations) == {("skip_connect", conv, median)}
    assert (operation_kind(conv), operation_kind(median)) == ("convolution", "pool")
    assert sys.path == path

    text = f"|{conv}~0|+|{median}~0|skip_connect~1|+|{conv}~0|{median}~1|{conv}~2|"
    genotype = Genotype("own-operations", Genotype.parse(text).cells)
    genotype.check(space)
    assert Genotype.parse(genotype.to_yaml()) == genotype
    assert genotype.to_nasbench201() == text
    assert (genotype.count("convolution"), genotype.count("pool"), genotype.count("skip")) == (
        3,
        2,
        1,
    )

    def parameters(genotype: Genotype) -> int:
        return model_size(genotype, space, image_size=8, n_classes=10, init_channels=4).parameters

    skips = Genotype.parse(
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+"
        "|skip_connect~0|skip_connect~1|skip_connect~2|"
    )
    # three convolutions in one cell of each stage, of 4, 8 and 16 channels, with batch norm's two
    by_hand = 3 * sum(25 * channels**2 + 2 * channels for channels in (4, 8, 16))
    assert parameters(genotype) - parameters(Genotype("own-operations", skips.cells)) == by_hand


def test_the_fast_supernet_computes_what_the_plain_one_does(weigh) -> None:
    space = load_space(EXAMPLES / "own-operations.yaml")
    images = torch.randn(3, 1, 7, 7, dtype=torch.float64)
    found = []
    for implementation in ("plain", "torch", "fast"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = Supernet(
                space,
                n_classes=3,
                in_channels=1,
                init_channels=4,
                cells=1,
                implementation=implementation,
            ).double()
        found.append(net(images, weigh(space)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[2], found[0], rtol=1e-10, atol=1e-10)


def test_the_median_is_the_median() -> None:
    space = load_space(EXAMPLES / "own-operations.yaml")
    genotype = Genotype.parse(
        "|own_operations:median_3x3~0|+|skip_connect~0|skip_connect~1|+"
        "|skip_connect~0|skip_connect~1|skip_connect~2|"
    )
    network = build_network(genotype, space, n_classes=2, in_channels=1, init_channels=1, cells=1)
    median = next(m for m in network.modules() if type(m).__name__ == "Median")
    image = torch.tensor([[9.0, 1.0, 2.0], [3.0, 8.0, 4.0], [5.0, 6.0, 7.0]])[None, None]
    assert median(image)[0, 0, 1, 1] == 5.0  # of 1 … 9
    assert median(image)[0, 0, 0, 0] == 0.0  # of five zeros, 9, 1, 3 and 8


def test_a_genotype_imports_nothing(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "never_imported.py").write_text("raise SystemExit(1)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    genotype = Genotype.parse("|never_imported:f~0|")
    assert "never_imported" not in sys.modules
    with pytest.raises(ConfigError, match=r"'never_imported:f' is not loaded; give the space that"):
        genotype.count("pool")
    with pytest.raises(GenotypeError):
        genotype.check(load_space("nasbench201"))
    assert "never_imported" not in sys.modules


BAD = {
    "no module": ("", "nothing_there", "it must be a function that returns a module"),
    "error": ("1 / 0", "f", "importing it fails: division by zero"),
    "exit": ("raise SystemExit(3)", "f", "importing it fails: it calls sys.exit (3)"),
    "exit later": (
        "def f(channels, stride, norm):\n    raise SystemExit",
        "f",
        "fails for a tensor of shape (2, 16, 7, 5): it calls sys.exit (None)",
    ),
    "no kind": (
        "def f(channels, stride, norm):\n    return nn.AvgPool2d(3, stride, padding=1)",
        "f",
        "has no parameters, so its kind must be given: decorate it with @register_operation('f', "
        "kind=…), one of skip, pool, convolution, none, noise",
    ),
    "size": (
        "def f(channels, stride, norm):\n    return nn.Conv2d(channels, channels, 3, stride)",
        "f",
        "which at stride 1 maps shape (2, 16, 7, 5) to (2, 16, 5, 3), but must map it to "
        "(2, 16, 7, 5)",
    ),
    "stride": (
        "def f(channels, stride, norm):\n    return nn.Conv2d(channels, channels, 3, padding=1)",
        "f",
        "which at stride 2 maps shape (2, 16, 7, 5) to (2, 16, 7, 5), but must map it to "
        "(2, 16, 4, 3)",
    ),
    "arguments": ("def f(channels):\n    return nn.Identity()", "f", "which at stride 1 fails for"),
}


@pytest.mark.parametrize(("code", "function", "message"), BAD.values(), ids=BAD)
def test_what_is_no_operation_is_refused_in_one_line(
    write_space, code: str, function: str, message: str
) -> None:
    path = write_space(code, function)
    with pytest.raises(ConfigError) as error:
        load_space(path)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(f"space '{path}': ")


def test_building_an_operation_to_check_it_draws_nothing_from_the_program(write_space) -> None:
    code = "def f(channels, stride, norm):\n    return nn.Conv2d(channels, channels, 3, stride, 1)"
    path = write_space(code, "f")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_space(path)
    assert torch.equal(torch.rand(2), expected)


def test_two_spaces_with_modules_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """The second would compute with the code of the first."""
    text = (
        "import torch.nn as nn\n\n\n"
        "def conv(channels, stride, norm):\n"
        "    return nn.Conv2d(channels, channels, SIZE, stride, SIZE // 2)\n"
    )
    for name, size in (("a", 3), ("b", 7)):
        (tmp_path / name).mkdir()
        module = tmp_path / name / "same_name_ops.py"
        module.write_text(text.replace("SIZE", str(size)), encoding="utf-8")
    load_operation("same_name_ops:conv", [tmp_path / "a"])
    load_operation("same_name_ops:conv", [tmp_path / "a"])
    with pytest.raises(ConfigError, match=r"is loaded from '.*/a/same_name_ops.py' already, and"):
        load_operation("same_name_ops:conv", [tmp_path / "b"])
