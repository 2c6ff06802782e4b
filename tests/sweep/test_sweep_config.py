"""Reading and checking sweeps, without Ray or torch."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import MakeSweep

from tune_nas.errors import ConfigError
from tune_nas.shipped import shipped_names
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.parameters import Parameter, combinations
from tune_nas.sweep.resolve import load_sweep, resolve_trials

ON_DIGITS = {
    "accuracy-size": 1,
    "activation": 12,
    "drop-path": 48,
    "lambda": 12,
    "learning-rate": 1,
    "order": 24,
    "r-darts-l2": 16,
    "rank-nosh-ablation": 12,
    "selection": 12,
}
ON_CIFAR = {
    "analyses": 4,
    "collapse": 6,
    "combine": 1,
    "data-batch": 15,
    "lambda-activation-rate": 100,
    "lambda-truth": 25,
    "level-activation-rate": 60,
    "methods": 120,
    "rank-nosh-darts": 6,
}
SHIPPED = {**ON_DIGITS, **ON_CIFAR}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sweeps_resolve(name: str) -> None:
    trials = resolve_trials(load_sweep(name))
    assert len(trials) == SHIPPED[name]
    data = "digits" if name in ON_DIGITS else "cifar10"
    assert all(trial.data.name == data for _, _, trial in trials)


def test_every_shipped_sweep_is_tested() -> None:
    assert sorted(SHIPPED) == shipped_names("sweep")


def test_lambda_sweep_has_the_papers_values_and_two_seeds() -> None:
    trials = resolve_trials(load_sweep("lambda"))
    found = [(parameters["update.lambda"], seed) for parameters, seed, _ in trials]
    assert found == [(value, seed) for value in (0, 0.1, 1, 10, 999, math.inf) for seed in (0, 1)]
    assert [trial.update.lambda_ for _, _, trial in trials] == [value for value, _ in found]
    assert [trial.seed for _, _, trial in trials] == [seed for _, seed in found]


def test_conditions_leave_parameters_out() -> None:
    trials = resolve_trials(load_sweep("activation", seeds=1))
    found = [(p["update.level"], p.get("update.lambda")) for p, _, _ in trials]
    levels = [("single", None), ("bilevel", None), ("mixed", 1.0)]
    assert found == levels * 2


def test_condition_may_come_before_what_it_names_and_name_a_fixed_key() -> None:
    parameters = {
        "b": Parameter(grid=[1, 2], when={"a": ["x", "y"]}),
        "a": Parameter(grid=["x", "z"]),
        "c": Parameter(grid=[5], when={"fixed": 3}),
    }
    found = list(combinations(parameters, lambda chosen: {"fixed": 3}))
    assert found == [
        {"b": 1, "a": "x", "c": 5},
        {"b": 2, "a": "x", "c": 5},
        {"a": "z", "c": 5},
    ]


def test_text_numbers_become_the_trials_values() -> None:
    sweep = load_sweep("lambda", parameters={"update.lambda": {"grid": ["1e-1", ".5"]}}, seeds=1)
    values = [parameters["update.lambda"] for parameters, _, _ in resolve_trials(sweep)]
    assert values == [0.1, 0.5]


def test_yaml_round_trip() -> None:
    for name in SHIPPED:
        sweep = load_sweep(name)
        again = SweepConfig.model_validate(yaml.safe_load(yaml.safe_dump(sweep.to_dict())))
        assert again == sweep


def test_a_set_key_is_no_longer_swept() -> None:
    sweep = load_sweep("activation", set={"relaxation.kind": "sigmoid"})
    assert "relaxation.kind" not in sweep.parameters
    assert all(trial.relaxation.kind == "sigmoid" for _, _, trial in resolve_trials(sweep))


def test_a_set_key_takes_what_depends_on_another_value_with_it() -> None:
    sweep = load_sweep("activation", set={"update.level": "bilevel"})
    assert list(sweep.parameters) == ["relaxation.kind"]
    sweep = load_sweep("activation", set={"update.level": "mixed"})
    assert list(sweep.parameters) == ["relaxation.kind", "update.lambda"]


def test_a_condition_on_a_drawn_range_is_not_judged_by_its_ends() -> None:
    sweep = load_sweep(
        "lambda",
        searcher="random",
        parameters={
            "schedule.epochs": {"int": [2, 4]},
            "update.lambda": {"choice": [0, 1], "when": {"schedule.epochs": 3}},
        },
    )
    assert len(resolve_trials(sweep)) == 1


def test_a_drawn_sweep_repeats_over_new_seeds() -> None:
    sweep = load_sweep("lambda", searcher="tpe", seeds=3, seed=10)
    assert (sweep.repeat_best, sweep.repeat_seeds) == (3, [11, 12, 13])
    assert load_sweep("lambda").repeat_best == 0


BAD: list[tuple[dict[str, Any], str]] = [
    ({"parameters": {"update.lamda": {"grid": [1]}}}, "did you mean 'update.lambda'"),
    ({"parameters": {"update.lambda": {"grid": [1, -1]}}}, "update.lambda=-1"),
    ({"parameters": {"update.lambda": {"grid": [1], "choice": [1]}}}, "exactly one of"),
    ({"parameters": {"update.lambda": {"uniform": [2, 1]}}}, "low < high"),
    ({"parameters": {"update.lambda": {"loguniform": [0, 1]}}}, "low must be > 0"),
    ({"parameters": {"update.lambda": {"uniform": [0, 1]}}}, "searcher 'random' or 'tpe'"),
    ({"parameters": {"update.lambda": {"grid": [1, 1]}}}, "a value twice"),
    ({"parameters": {"update.lambda": {"grid": [1, "1"]}}}, "grid has 1 and '1', one value"),
    ({"parameters": {"update": {"grid": [1]}}}, "is a section"),
    ({"seed": True}, "seed is True, but must be a number"),
    ({"set": {"schedule.epochs": True}}, "schedule.epochs is True, but must be a number"),
    ({"set": {"retrain.cells": True}}, "retrain.cells is True, but must be a number"),
    (
        {"trial": "random-search", "set": {"strategy.levels": [True]}},
        "strategy.levels is [True], but must be a list of numbers",
    ),
    ({"set": {"runtime.threads": 10**11}}, "runtime.threads is 100000000000, but must be <= 1024"),
    ({"parameters": {"seed": {"grid": [1]}}}, "'seeds'"),
    ({"parameters": {}}, "no parameters are left to sweep"),
    ({"parameters": {"update.lambda": {"grid": [1], "when": {"update.levl": 1}}}}, "update.level"),
    (
        {"parameters": {"update.lambda": {"grid": [1], "when": {"update.level": "mixd"}}}},
        "update.lambda has the condition (when) update.level: mixd, which never holds: "
        "update.level is mixed",
    ),
    ({"seeds": 0}, "at least 1"),
    ({"seeds": [1, 1]}, "a seed twice"),
    ({"trials": 3}, "runs every combination"),
    ({"retrain": -1}, "retrain"),
    ({"searcher": "tqe"}, "searcher is 'tqe'"),
    ({"metric": "retrain/test_acc"}, "of a retraining it must be 'retrain/test_accuracy'"),
    ({"metric": "retrain/test_accuracy", "retrain": 0}, "retrain is 0"),
    ({"scheduler": "asha", "asha": {"grace_period": 99}}, "asha.grace_period is 99"),
    ({"asha": {"reduction_factor": 4}}, "asha.reduction_factor"),
    ({"nonsense": 1}, "unknown key 'nonsense'"),
]


@pytest.mark.parametrize(("changes", "says"), BAD)
def test_bad_sweeps_say_what_is_wrong_in_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_sweep("lambda", **changes)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("metric", ["sampled/best_accuracy", "settled_epochs", "retrain_seconds"])
def test_a_metric_need_not_be_known_beforehand(metric: str) -> None:
    assert load_sweep("lambda", metric=metric).search_metric == metric


def test_a_key_whose_condition_does_not_hold_goes_where_it_cannot_stay(
    make_sweep: MakeSweep,
) -> None:
    level = {"grid": ["bilevel", "mixed"]}
    rate = "optimizer.weights.learning_rate"
    mixed = {"update.level": "mixed"}
    sweep = make_sweep(
        trial="milenas",
        parameters={
            "update.level": level,
            "update.lambda": {"grid": [0.5], "when": mixed},
            rate: {"grid": [0.1], "when": mixed},
        },
    )
    (_, _, bilevel), (_, _, other) = resolve_trials(sweep)
    assert (bilevel.update.lambda_, other.update.lambda_) == (None, 0.5)
    stays = {"relaxation.kind": {"grid": ["softmax", "sigmoid"]}}
    stays[rate] = {"grid": [0.1], "when": {"relaxation.kind": "sigmoid"}}
    (_, _, softmax), _ = resolve_trials(make_sweep(trial="single-level", parameters=stays))
    assert softmax.optimizer.weights.learning_rate == 0.005


def test_asha_never_compares_trials_of_different_length(make_sweep: MakeSweep) -> None:
    epochs = {"schedule.epochs": {"grid": [5, 10]}}
    assert len(resolve_trials(make_sweep(parameters=epochs))) == 2
    with pytest.raises(ConfigError, match="trials of one length"):
        make_sweep(parameters=epochs, scheduler="asha")


def test_circular_conditions() -> None:
    with pytest.raises(ConfigError, match="in a circle"):
        load_sweep(
            "lambda",
            parameters={
                "update.level": {"grid": ["mixed"], "when": {"update.order": 1}},
                "update.order": {"grid": [1], "when": {"update.level": "mixed"}},
            },
        )


def test_a_drawn_sweep_validates_the_ends_of_its_ranges() -> None:
    with pytest.raises(ConfigError, match=r"momentum=-1"):
        load_sweep(
            "lambda",
            searcher="tpe",
            parameters={"optimizer.weights.momentum": {"uniform": [-1, 1]}},
        )


def test_reading_a_sweep_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from tune_nas.sweep import RunOptions, load_sweep; load_sweep('lambda'); "
        "print([m for m in ('torch', 'ray', 'optuna', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_path_is_taken_where_a_name_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("trial: milenas\nparameters: {update.lambda: {grid: [1, .inf]}}\n")
    assert load_sweep(file).name == "mine"
