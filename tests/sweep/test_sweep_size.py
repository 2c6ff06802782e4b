"""Sweeps with too many trials are rejected before a trial is created."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tune_nas.errors import ConfigError
from tune_nas.library import validate
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.parameters import (
    MOST_TRIALS,
    Parameter,
    combinations,
    count_combinations,
    meets,
)
from tune_nas.sweep.resolve import resolve_trials

GRID = {"optimizer.weights.learning_rate": {"grid": [n / 1000 for n in range(200)]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 2_000_000_000}, "seeds is 2000000000, but must be at most 10,000 seeds"),
        ({"seeds": list(range(10_001))}, "but must be at most 10,000 seeds"),
        ({"trials": 10**9, "searcher": "tpe"}, "trials is 1000000000, but must be <= 10000"),
        ({"repeat": {"best": 1, "seeds": 10**9}}, "repeat.seeds is 1000000000, but must be <="),
        ({"repeat": {"best": 200, "seeds": 200}}, "repeat takes 40,000 trials, repeat.best times"),
        ({"retrain": 10**9}, "retrain is 1000000000, but must be at most 10,000"),
        ({"epochs": 10**9}, "epochs is 1000000000, but must be <= 100000"),
        ({"seed": 2**31 - 2, "seeds": 2, "repeat": {"best": 1}}, "a seed must be <= 2147483647"),
        (
            {"parameters": {**GRID, "update.lambda": {"grid": list(range(20_000))}}},
            "must have at most 10000 items",
        ),
        (
            {"parameters": {f"schedule.unknown{n}": {"grid": [1]} for n in range(1000)}},
            "must have at most 200 items",
        ),
    ],
)
def test_counts_that_nobody_can_mean_are_refused(changes: dict, message: str) -> None:
    content = {"trial": "milenas", "parameters": GRID, **changes}
    with pytest.raises(ConfigError) as error:
        validate(SweepConfig, content, "sweep")
    assert message in str(error.value)


def test_a_grid_of_millions_is_counted_and_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"grid": [n / 1000 for n in range(200)]}
    keys = ("optimizer.weights.learning_rate", "optimizer.alphas.learning_rate", "update.lambda")
    sweep = SweepConfig(trial="milenas", parameters=dict.fromkeys(keys, values), seeds=3)

    def never(*_: object) -> None:
        raise AssertionError("a trial of the grid was made")

    monkeypatch.setattr("tune_nas.sweep.resolve.combinations", never)
    monkeypatch.setattr("tune_nas.sweep.resolve.resolve", never)
    with pytest.raises(ConfigError) as error:
        resolve_trials(sweep)
    assert str(error.value) == (
        "sweep 'sweep': the grid has at least 8,000,000 combinations with 3 seeds each, but a "
        "sweep must have at most 10,000 trials; list fewer values, or take searcher "
        "'random' or 'tpe'"
    )


def test_combinations_are_counted_as_they_are_made() -> None:
    parameters = {
        "update.level": Parameter(grid=["mixed", "bilevel", "single"]),
        "update.lambda": Parameter(grid=[0.1, 1, 10, 100], when={"update.level": "mixed"}),
        "update.order": Parameter(grid=[1, 2], when={"update.level": ["mixed", "bilevel"]}),
        "optimizer.weights.momentum": Parameter(grid=[0.5, 0.9]),
        "optimizer.weights.clip": Parameter(grid=[1, 3, 5]),
    }
    made = list(combinations(parameters, lambda _: {}))
    assert len(made) == (4 * 2 + 2 + 1) * 2 * 3 == 66
    assert count_combinations(parameters, lambda _: {}, 66) == 66
    assert count_combinations(parameters, lambda _: {}, 10**6) == 66
    assert count_combinations(parameters, lambda _: {}, 65) > 65


def test_conditional_values_are_run_through_no_further_than_the_limit() -> None:
    parameters = {
        "a": Parameter(grid=list(range(1000))),
        "b": Parameter(grid=list(range(1000)), when={"a": list(range(1000))}),
        "c": Parameter(grid=list(range(1000)), when={"b": list(range(1000))}),
    }
    asked = 0

    def fixed(chosen: object) -> dict[str, object]:
        nonlocal asked
        asked += 1
        return {}

    assert count_combinations(parameters, fixed, 100) == 101
    assert asked <= 2 + 101


def test_a_grid_of_the_most_trials_is_not_refused_for_its_size() -> None:
    sweep = SweepConfig(
        trial="milenas",
        parameters={"optimizer.weights.clip": {"grid": list(range(1, 101))}},
        seeds=100,
    )
    assert count_combinations(sweep.parameters, lambda _: {}, MOST_TRIALS) * 100 == MOST_TRIALS


EQUAL: list[tuple[list[Any], str]] = [
    (["x", "x"], "a value twice"),
    ([math.nan, math.nan], "a value twice"),
    ([[1, 2], [3], [1, 2]], "a value twice"),
    ([{"a": 1}, {"a": 1}], "a value twice"),
    ([1, 2, 1.0], "1 and 1.0, one value"),
    ([0, 1, False], "0 and False, one value"),
    ([0.0, False], "0.0 and False, one value"),
    ([True, 1], "True and 1, one value"),
    ([0.001, "1e-3"], "0.001 and '1e-3', one value"),
    ([0, "inf", math.inf], "'inf' and inf, one value"),
    ([[0, 1], [False, 1.0]], r"\[0, 1\] and \[False, 1.0\], one value"),
    ([[0.5, "999e-3"], ["5e-1", 0.999]], "one value"),
    ([{"a": [1]}, {"a": ["1"]}], "one value"),
    (["yes", True], "'yes' and True, one value"),
    ([False, "No"], "False and 'No', one value"),
]


@pytest.mark.parametrize("form", ["grid", "choice"])
@pytest.mark.parametrize(("values", "message"), EQUAL)
def test_equal_values_are_found_whatever_their_type(
    form: str, values: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"{form} has .*{message}"):
        Parameter.model_validate({form: values})


@pytest.mark.parametrize(
    "values",
    [
        [1, [1], {"1": 1}, None, "None", "x"],
        [[1, 2], [2, 1], [1], "[1, 2]"],
        ["yes", "y", "on", "1"],  # texts alone are not booleans
        [2**53, 2**53 + 1],
        [True, False, "x"],
    ],
)
def test_other_values_are_kept(values: list[Any]) -> None:
    assert Parameter(choice=values).values == values


def test_ten_thousand_values_are_compared_quickly() -> None:
    assert len(Parameter(choice=list(range(MOST_TRIALS))).values) == MOST_TRIALS


def test_a_condition_names_a_value_in_any_spelling() -> None:
    for value, wanted in ((0.001, "1e-3"), ("1e-3", [1, 0.001]), (math.inf, "inf"), (True, "yes")):
        assert meets(value, wanted)
    assert not meets(1.0, [0, "x", None])
