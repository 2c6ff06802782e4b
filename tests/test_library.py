from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, parse_assignment, read_yaml, with_overrides
from tune_nas.shipped import find, nearest
from tune_nas.sweep import load_sweep

INF = float("inf")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"update.lambda": -1, "update.level": "mixed"}, "update.lambda is -1, but must be >= 0"),
        ({"update.lambda": float("nan")}, "update.lambda is nan, but must be >= 0"),
        (
            {"update.level": "tri"},
            "update.level is 'tri', but must be 'single', 'bilevel', 'mixed', 'policy' or 'none'",
        ),
        (
            {"update.lambda": 0.3},
            "update.lambda is 0.3, but belongs to update.level 'mixed', not 'bilevel' "
            "(null removes it)",
        ),
        (
            {"update.level": "mixed", "update.lambda": 1, "update.lambda_prime": 0.5},
            "update.lambda and update.lambda_prime say the same; give one (null for the other)",
        ),
        (
            {"update.level": "single", "update.order": 2},
            "update.order is 2, but must be 1 where update.level is 'single' "
            "(order 2 needs 'bilevel' or 'mixed')",
        ),
        ({"update.order": 3}, "update.order is 3, but must be 1 or 2"),
        ({"schedule.epochs": 0}, "schedule.epochs is 0, but must be >= 1"),
        ({"schedule.epochs": "ten"}, "schedule.epochs is 'ten', but must be an integer"),
        ({"data.train_portion": 1}, "data.train_portion is 1, but must be < 1"),
        ({"schedule": 3}, "schedule is 3, but must be a mapping of keys"),
        (
            {"optimizer.weights.learning_rate": INF},
            "optimizer.weights.learning_rate is inf, but must be a finite number",
        ),
        (
            {"optimizer.weights.nesterov": True, "optimizer.weights.momentum": 0},
            "optimizer.weights.nesterov is true, but needs optimizer.weights.momentum > 0",
        ),
        ({"update.lamda": 1}, "unknown key 'update.lamda'; did you mean 'update.lambda'?"),
        ({"lambda": 1}, "unknown key 'lambda'; did you mean 'update.lambda'?"),
        ({"epochs": 1}, "unknown key 'epochs'; did you mean 'schedule.epochs'?"),
        ({"xyzzy": 1}, "unknown key 'xyzzy'"),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_rule(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        with_overrides({}, overrides, where="here")
    assert str(error.value) == f"here: {message}"


def test_several_complaints_are_one_line() -> None:
    with pytest.raises(ConfigError) as error:
        with_overrides({}, {"schedule.epochs": 0, "seed": -1})
    assert str(error.value) == (
        "trial: seed is -1, but must be >= 0; schedule.epochs is 0, but must be >= 1"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "not valid YAML, line 1: expected ',' or ']', but got '<stream end>'"),
        ("- 1\n- 2\n", "must hold a mapping of keys, not list"),
        ("", "must hold a mapping of keys, not NoneType"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML, line 1: could not determine"),
        (b"\xff\xfe\x00", "cannot be read: not UTF-8 text"),
        (
            "description: 2024-13-45",
            "not valid YAML, line 1: 2024-13-45 is a date; write it in quotes",
        ),
        ("[" * 3000, "not valid YAML: it is nested too deeply"),
        ("a: 1\nb: {c: 1, c: 2}", "not valid YAML, line 2: the key 'c' is there twice"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "trial.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_what_yaml_merges_is_not_there_twice(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, y: 3, 1: one, '1': text}"
    path = tmp_path / "merged.yaml"
    path.write_text(text)
    assert read_yaml(path) == yaml.safe_load(text)
    assert read_yaml(path)["c"].keys() == {"x", "y", 1, "1"}


@pytest.mark.parametrize("page", ["README.md", "docs/sweeps.md"])
def test_the_sweeps_of_the_documentation_can_be_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump(load_trial("milenas").to_dict()))
    root = Path(__file__).parents[1]
    blocks = re.findall(r"```yaml\n(.*?)```", (root / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        Path("sweep.yaml").write_text(block, encoding="utf-8")
        assert load_sweep("sweep.yaml").parameters


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(ConfigError, match=r"trial 'milenaz' .*did you mean 'milenas'\?"):
        find("trial", "milenaz")
    assert nearest("zzz", ["milenas"]) == ""


def test_a_path_is_taken_wherever_a_name_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("update: {level: mixed, lambda: 2}\n", encoding="utf-8")
    trial = load_trial(path, {"space.cells": 3})
    assert (trial.name, trial.update.lambda_, trial.space.cells) == ("mine", 2.0, 3)


def test_an_unknown_key_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("update: {levl: mixed}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_trial(path)
    assert str(error.value) == f"{path}: unknown key 'update.levl'; did you mean 'update.level'?"


def test_a_section_in_its_short_form_takes_overrides() -> None:
    trial = with_overrides({"space": "nasbench201"}, {"space.cells": 2})
    assert (trial.space.name, trial.space.cells) == ("nasbench201", 2)
    simulated = load_trial("random-search", {"benchmark": "simulate", "benchmark.table": "a.csv"})
    assert (simulated.benchmark.simulate, simulated.benchmark.table) == ("cifar10", "a.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("update.lambda=0.3", ("update.lambda", 0.3)),
        ("update.lambda=null", ("update.lambda", None)),
        ("data.dir=/a=b", ("data.dir", "/a=b")),
        ("optimizer.alphas.betas=[0.9, 0.99]", ("optimizer.alphas.betas", [0.9, 0.99])),
    ],
)
def test_assignments(text: str, expected: tuple[str, Any]) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["update.lambda", "=3", "a=[1"])
def test_what_is_no_assignment(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_assignment(text)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"schedule": 5, "schedule.epochs": 3},
            "trial: schedule.epochs cannot be set: schedule is 5, but must be a mapping of keys",
        ),
        (
            {"optimizer": {"weights": [1]}, "optimizer.weights.clip": 3},
            "trial: optimizer.weights.clip cannot be set: weights is [1], but must be a mapping",
        ),
    ],
)
def test_a_key_in_a_section_that_is_none(overrides: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_overrides(TrialConfig(), overrides)
    assert str(error.value).startswith(message)
