"""Keys and values of earlier versions are read as those of today, wherever a user writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas.config import TrialConfig
from tune_nas.config.conditions import value_of
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, parse_assignment, stored_trial
from tune_nas.spaces import Genotype
from tune_nas.sweep.resolve import load_sweep

STAGES = [{"epochs": 2}, {"epochs": 2}]
# a trial in which the key has an effect, the earlier key and value, and those of today
RENAMED: list[tuple[dict[str, Any], str, Any, str, Any]] = [
    ({}, "relaxation.edge_normalisation", True, "relaxation.edge_normalization", True),
    ({}, "schedule.rate_rule", {"share": 0.5}, "schedule.lr_rule.share", 0.5),
    ({}, "schedule.rate_rule.factor", 0.5, "schedule.lr_rule.factor", 0.5),
    (
        {"schedule.stages": STAGES, "schedule.epochs": 4},
        *("schedule.carry", "nothing", "schedule.carry_over", "none"),
    ),
    (
        {"update": {"level": "single"}},
        *("update.alphas_batch", "other", "update.alpha_batch", "separate"),
    ),
    (
        {"update": {"level": "mixed", "order": 2, "lambda": 0.1}},
        *("update.second_order_form", "printed", "update.second_order_form", "train-weighted"),
    ),
    (
        {"update": {"level": "none"}, "selection.kind": "sampled"},
        *("relaxation.kind", "path", "relaxation.kind", "uniform-path"),
    ),
]
IDS = [key for _, key, *_ in RENAMED]


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for key, value in other.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, dict) else value
    return both


def file_of(folder: Path, base: dict[str, Any], key: str, value: Any) -> Path:
    content: dict[str, Any] = {}
    for dotted, given in base.items():
        content = merged(content, nested(dotted, given))
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(merged(content, nested(key, value))), encoding="utf-8")
    return path


@pytest.mark.parametrize(("base", "key", "value", "now", "current"), RENAMED, ids=IDS)
def test_in_a_file_in_a_setting_and_on_the_command_line(
    base: dict[str, Any], key: str, value: Any, now: str, current: Any, tmp_path: Path
) -> None:
    of_file = load_trial(file_of(tmp_path, base, key, value))
    of_setting = load_trial("darts-1st", {**base, key: value})
    name, parsed = parse_assignment(f"{key}={yaml.safe_dump(value, default_flow_style=True)}")
    assert now.startswith(name)
    of_command = load_trial("darts-1st", {**base, name: parsed})
    for trial in (of_file, of_setting, of_command):
        assert value_of(trial.to_dict(), now) == current
    assert stored_trial(of_file.to_dict(), "it") == of_file


@pytest.mark.parametrize(("base", "key", "value", "now", "current"), RENAMED[3:], ids=IDS[3:])
def test_in_a_sweep(
    base: dict[str, Any], key: str, value: Any, now: str, current: Any, tmp_path: Path
) -> None:
    """Its table has the names of today, so that a resume finds what it has run."""
    trial = load_trial("darts-1st", {**base, key: value}).to_dict()
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(_plain(trial)), encoding="utf-8")
    parameters = {key: {"grid": [value]}, "optimizer.weights.clip": {"grid": [1.0, 2.0]}}
    content = {
        "trial": str(tmp_path / "trial.yaml"),
        "parameters": parameters,
        "retrain": 0,
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_sweep(path).parameters[now].values == [current]
    del parameters[key]
    path.write_text(yaml.safe_dump({**content, "set": {key: value}}), encoding="utf-8")
    assert load_sweep(path).set == {now: current}
    when = {"optimizer.weights.clip": {"grid": [1.0, 2.0], "when": {key: [value]}}}
    path.write_text(yaml.safe_dump({**content, "parameters": when}), encoding="utf-8")
    assert load_sweep(path).parameters["optimizer.weights.clip"].when == {now: [current]}


def test_in_a_phase_of_the_update() -> None:
    phases = [{"until": 2, "set": {"alphas_batch": "other"}}]
    settings = {"update": {"level": "single", "alphas_batch": "same", "phases": phases}}
    trial = load_trial("darts-1st", settings)
    assert trial.update.phases[0].set == {"alpha_batch": "separate"}
    assert trial.update.in_epoch(0).alpha_batch == "separate"


def test_both_spellings_are_refused(tmp_path: Path) -> None:
    both = {"edge_normalisation": True, "edge_normalization": True}
    with pytest.raises(ConfigError, match=r"is the earlier name of 'edge_normalization'"):
        load_trial("darts-1st", {"relaxation": both})
    dotted = {f"relaxation.{key}": value for key, value in both.items()}
    with pytest.raises(ConfigError, match=r"is the earlier name of 'relaxation\.edge_normal"):
        load_trial("darts-1st", dotted)
    with pytest.raises(ConfigError, match=r"is the earlier name of 'relaxation\.edge_normal"):
        load_sweep("lambda", set=dotted)


def test_an_unknown_key_is_still_unknown() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'relaxation\.edge_normalisations'"):
        load_trial("darts-1st", {"relaxation.edge_normalisations": True})
    assert "edge_normalisation" not in TrialConfig().to_dict()["relaxation"]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def test_earlier_names_of_parse_read_a_genotype_of_a_space() -> None:
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    assert Genotype.from_nasbench201(cell) == Genotype.parse(cell)
    darts = str(Genotype.parse("DARTS_V2"))
    assert Genotype.from_darts(darts) == Genotype.parse("DARTS_V2")
    assert Genotype.from_darts(darts, "pc-darts").space == "pc-darts"
