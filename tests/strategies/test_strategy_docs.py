"""docs/strategies.md and the section of docs/custom-parts.md agree with the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tune_nas import manifest
from tune_nas.config.section import dotted_keys
from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.errors import ConfigError
from tune_nas.spaces import Genotype
from tune_nas.strategies import Strategy
from tune_nas.user_code import load_class

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
CUSTOM = (ROOT / "docs" / "custom-parts.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_trial_of_the_page_is_valid() -> None:
    content = yaml.safe_load(blocks(PAGE, "yaml")[0])["strategy"]
    assert StrategyConfig.model_validate(content).halving.candidates == 32


def test_the_table_has_every_key_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `strategy\.([\w.]+)` \| (.+?) \|", PAGE, flags=re.MULTILINE))
    defaults: dict[str, object] = {}
    for key in dotted_keys(StrategyConfig):
        value: object = StrategyConfig()
        for name in key.split("."):
            value = getattr(value, name)
        defaults[key] = list(value) if isinstance(value, tuple) else value
    assert {key: yaml.safe_load(text.strip("`")) for key, text in rows.items()} == {
        key: defaults[key] for key in rows
    }
    missing = {key for key in defaults if key.partition(".")[0] not in ("nosh", "predictor")}
    assert missing - rows.keys() == {"options"}


def test_the_page_has_a_row_for_each_strategy() -> None:
    described = set(re.findall(r"^\| `([\w-]+)` \| .*? \| the ", PAGE, flags=re.MULTILINE))
    assert described >= set(manifest.SHIPPED["strategies"])


@pytest.mark.parametrize("name", manifest.SHIPPED["strategies"])
def test_the_page_says_which_depend_on_the_order(name: str) -> None:
    kind = load_class("strategy.kind", name, Strategy)
    row = next(line for line in PAGE.splitlines() if "the same jobs, in the same order" in line)
    assert (f"`{name}`" in row) is kind.order_free


def test_the_loop_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(PAGE, "python")[0]
    trained: list[tuple[int, int]] = []

    def my_training(genotype: Genotype, epochs: int) -> float:
        convolutions = str(genotype).count("nor_conv_3x3")
        trained.append((convolutions, epochs))
        return convolutions / 6

    exec(compile(code, "docs/strategies.md", "exec"), {"my_training": my_training})
    assert [epochs for _, epochs in trained] == [12] * 50
    assert capsys.readouterr().out.count("nor_conv_3x3") == max(trained)[0]


def test_the_custom_strategy_is_that_of_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    kind = load_class("strategy.kind", "own_strategy:MutateTheBest", Strategy)
    section = CUSTOM[CUSTOM.index("## A strategy") :]
    assert inspect.getsource(kind.propose) in blocks(section, "python")[0]
    content = yaml.safe_load(blocks(section, "yaml")[0])["strategy"]
    assert StrategyConfig.model_validate(content).options == {"explore": 0.2}


def test_an_invalid_option_of_the_example_is_refused(
    build: Callable[..., Strategy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    with pytest.raises(ConfigError, match=r"options\.explore is 2, but must be in \[0, 1\]"):
        build("own_strategy:MutateTheBest", options={"explore": 2})
    with pytest.raises(ConfigError, match=r"strategy\.options do not fit 'own_strategy:Mut"):
        build("own_strategy:MutateTheBest", options={"explored": 2})
