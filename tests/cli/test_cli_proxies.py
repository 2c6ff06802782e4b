"""`tune-nas inspect --proxies`: the training-free scores of a genotype."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tune_nas import manifest
from tune_nas.config import DataConfig
from tune_nas.proxies import inputs_for, make_proxy
from tune_nas.spaces import Genotype, load_space

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
SMALL = ("inspect", CELL, "--init-channels", "4", "--cells", "1")


def test_all_proxies_on_the_digits(command_line) -> None:
    found = command_line.json(*SMALL, "--proxies")["proxies"]
    assert {key: found[key] for key in ("data", "image_size", "in_channels", "classes")} == {
        **{"data": "digits", "image_size": 8, "in_channels": 1, "classes": 10}
    }
    space = load_space("nasbench201")
    inputs = inputs_for(space, DataConfig(name="digits"), init_channels=4, cells=1)
    genotype = Genotype.parse(CELL)
    assert found["scores"] == {
        name: make_proxy(name, inputs).score(genotype) for name in manifest.SHIPPED["proxies"]
    }
    table = command_line.ok(*SMALL, "--proxies")
    title = "proxies on digits (8 × 8, 1 channel, 10 classes), seed 0; higher is better"
    assert title in table
    assert f"parameters     {found['scores']['parameters']:,.0f}\n" in table
    assert f"synflow        {found['scores']['synflow']:.4f}\n" in table


def test_chosen_ones_on_other_images(command_line) -> None:
    arguments = (*SMALL, "--proxy", "multiply-adds", "--data", "fake", "--image-size", "32")
    facts = command_line.json(*arguments, "--classes", "4")
    assert facts["proxies"]["scores"] == {"multiply-adds": facts["multiply_adds"]}
    assert facts["proxies"]["image_size"] == 32
    assert "proxies" not in command_line.json(*SMALL)


def test_a_proxy_of_ones_own(command_line) -> None:
    Path("proxies_of_a_user.py").write_text(
        "from tune_nas.proxies import Proxy\n"
        "class Skips(Proxy):\n"
        "    def score(self, genotype):\n"
        "        return -float(genotype.count('skip', 'normal'))\n",
        encoding="utf-8",
    )
    arguments = (*SMALL, "--proxy", "proxies_of_a_user:Skips")
    assert command_line.json(*arguments)["proxies"]["scores"] == {"proxies_of_a_user:Skips": -1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "digits"], "--data is 'digits', but has no effect without --proxies"),
        (["--data-dir", "x"], "--data-dir is 'x', but has no effect without --proxies"),
        (
            ["--proxy", "synflw"],
            "--proxy is 'synflw', but must be one of parameters, multiply-adds, synflow, naswot, "
            "grad-norm; did you mean 'synflow'?",
        ),
        (
            ["--proxy", "no_such:Part"],
            "--proxy is 'no_such:Part', but importing it fails: No module",
        ),
        (["--proxy", "pathlib:Path"], "'pathlib:Path', but must be a class derived from Proxy"),
        (["--proxies", "--data", "digit"], "name is 'digit', but must be one of digits, cifar10"),
        (["--proxies", "--data-dir", "x"], "but data set 'digits' does not use it"),
        (["--proxies", "--image-size", "2"], "resolution is 2, but must be >= 4"),
    ],
)
def test_bad_input(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused(*SMALL, *arguments)


def test_without_proxies_none_is_imported() -> None:
    code = (
        "import sys\nfrom tune_nas.cli import app\n"
        f"try: app({list(SMALL)!r})\nexcept SystemExit as leave: assert not leave.code\n"
        "assert 'tune_nas.spaces' in sys.modules\n"
        "found = [n for n in sys.modules if n.startswith('tune_nas.proxies')]\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
