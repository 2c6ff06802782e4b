"""Choices of values that give the same trial are rejected, or count as one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import MakeSweep

from tune_nas.config.conditions import _KEEP_EVERY_EDGE
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.shipped import shipped_names
from tune_nas.spaces import load_space
from tune_nas.sweep.distinct import check_distinct
from tune_nas.sweep.resolve import base_trials, load_sweep, resolve_points

INIT = "relaxation.init"
RETRAIN = "retrain.augment"


def check(**changes: Any) -> None:
    sweep = load_sweep("lambda", **changes)
    check_distinct(sweep, resolve_points(sweep, base_trials(sweep))[1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {INIT: {"grid": ["auto", "normal"]}},
            "{'relaxation.init': 'normal'} amounts to the same trial as "
            "{'relaxation.init': 'auto'}; give one of them",
        ),
        (
            {f"{RETRAIN}.flip": {"grid": [True, False, "auto"]}},
            "{'retrain.augment.flip': 'auto'} amounts to the same trial as "
            "{'retrain.augment.flip': False}; give one of them",
        ),
        (
            {f"{RETRAIN}.crop_padding": {"grid": [4, 5]}},
            "{'retrain.augment.crop_padding': 5} amounts to the same trial as",
        ),
        (
            {
                f"{RETRAIN}.crop_padding": {"grid": [0]},
                f"{RETRAIN}.cutout": {"grid": [0]},
                f"{RETRAIN}.reference_size": {"grid": [16, 32]},
            },
            "amounts to the same trial as",
        ),
        (
            {INIT: {"grid": ["auto", "normal"]}, "update.lambda": {"grid": [1, 2]}},
            "{'relaxation.init': 'normal', 'update.lambda': 1.0} amounts to the same trial as "
            "{'relaxation.init': 'auto', 'update.lambda': 1.0}",
        ),
    ],
)
def test_a_grid_of_equal_trials_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(parameters=parameters)
    assert str(error.value).startswith("sweep 'lambda': ")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("searcher", ["random", "tpe"])
def test_equal_choices_of_a_sampled_key_are_refused(searcher: str) -> None:
    with pytest.raises(ConfigError, match="amounts to the same trial as"):
        check(parameters={INIT: {"choice": ["auto", "normal"]}}, searcher=searcher)


def test_values_that_differ_on_one_trial_are_swept_there() -> None:
    sigmoid = {"relaxation.kind": "sigmoid"}
    check(parameters={INIT: {"grid": ["auto", "normal"]}}, set=sigmoid)
    check(parameters={f"{RETRAIN}.crop_padding": {"grid": [4, 5]}}, set={"data.resolution": 32})
    check(parameters={f"{RETRAIN}.cutout": {"grid": [0, 8, 16]}})


@pytest.mark.parametrize("name", shipped_names("sweep"))
def test_shipped_sweeps_are_of_distinct_trials(name: str) -> None:
    sweep = load_sweep(name)
    check_distinct(sweep, resolve_points(sweep, base_trials(sweep))[1])


def test_nothing_is_written_for_equal_trials(
    make_sweep: MakeSweep, tmp_path: Path, ray_session: None
) -> None:
    from tune_nas.sweep import RunOptions, run_sweep

    sweep = make_sweep(parameters={INIT: {"grid": ["auto", "normal"]}}, set={}, retrain=0)
    with pytest.raises(ConfigError, match="amounts to the same trial as"):
        run_sweep(sweep, RunOptions(storage=str(tmp_path / "runs"), quiet=True))
    assert not (tmp_path / "runs").exists()


def test_equal_samples_have_other_seeds() -> None:
    """Values within a range can be equivalent too: they are rounded."""
    from tune_nas.sweep.optuna_source import OptunaSource

    key = f"{RETRAIN}.crop_padding"
    values = {key: {"int": [0, 12]}}
    sweep = load_sweep("lambda", parameters=values, searcher="random", trials=12, seeds=1)
    source = OptunaSource(sweep, base_trials(sweep), [])
    found = {}
    for _ in range(12):
        job = source.next()
        assert job is not None
        pixels = (2 * 8 * job.parameters[key] + 32) // 64
        found.setdefault(pixels, []).append(job.seed)
    assert len(found) < 5 and max(map(len, found.values())) > 2
    assert all(len(set(seeds)) == len(seeds) for seeds in found.values())


def test_the_spaces_that_keep_every_edge() -> None:
    spaces = {name: load_space(name) for name in shipped_names("space")}
    kept = {
        name
        for name, space in spaces.items()
        if all(
            cell.kept_inputs(node) == len(cell.incoming(node))
            for cell in space.cells.values()
            for node in cell.nodes
        )
    }
    assert kept == set(_KEEP_EVERY_EDGE)


@pytest.mark.parametrize(
    ("trial", "settings", "key", "value"),
    [
        ("fairdarts", {"space": "nasbench201"}, "selection.rank_by", "softmax"),
        ("darts-pt", {"space": "nasbench201"}, "selection.perturbation.edges", "one-by-one"),
        (
            "gdas",
            {"optimizer.weights": {"momentum": 0.0, "weight_decay": 0.0}},
            "optimizer.weights.unsampled",
            "update",
        ),
    ],
)
def test_keys_that_need_another_space_or_optimizer_are_refused(
    trial: str, settings: dict[str, Any], key: str, value: Any, tmp_path: Path
) -> None:
    path = tmp_path / "base.yaml"
    content = load_trial(trial, settings).to_dict()
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{key} is '{value}', but has no effect where"):
        load_trial(path, {key: value})
