"""Metrics of a user's own parts become plain numbers, or are refused by name."""

from typing import Any

import numpy as np
import pytest
import torch

from tune_nas.errors import ConfigError
from tune_nas.search.metrics import check_kept, make_numbers


class Rule:
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (0.5, 0.5),
        (True, 1.0),
        (np.float32(0.25), 0.25),
        (np.float64(0.25), 0.25),
        (np.int64(3), 3.0),
        (np.array(2.0), 2.0),
        (np.array([2.0]), 2.0),
        (torch.tensor(1.5), 1.5),
        (torch.tensor([4]), 4.0),
        (torch.tensor(1.5, requires_grad=True), 1.5),
    ],
)
def test_numbers_of_any_kind(value: Any, expected: float) -> None:
    metrics = {"a": value}
    make_numbers(metrics, Rule())
    assert metrics == {"a": expected}
    assert type(metrics["a"]) in (int, float)


@pytest.mark.parametrize("value", [None, "0.5", [1.0], np.zeros(2), torch.zeros(2), 1j, {"b": 1}])
def test_anything_else_names_part_and_metric(value: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        make_numbers({"acc@5": value}, Rule())
    kind = type(value).__name__
    assert str(refused.value).endswith(
        f":Rule adds the metric 'acc@5' of type {kind}, but a metric must be a number with a name"
    )


def test_a_name_that_ray_tune_uses_is_refused() -> None:
    with pytest.raises(ConfigError, match="adds the metric 'pid', but Ray Tune reports something"):
        make_numbers({"valid_accuracy": 1.0, "pid": 2.0}, Rule())


def test_what_the_search_reports_stays() -> None:
    own = {"epoch": 1, "valid_accuracy": 50.0}
    check_kept(own, {**own, "acc@5": 80.0}, Rule())
    for changed in ({**own, "epoch": 77}, {"epoch": 1}):
        with pytest.raises(
            ConfigError, match=r"changes the metric '(epoch|valid_accuracy)' of the"
        ):
            check_kept(own, changed, Rule())
