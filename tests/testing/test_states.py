"""The comparison of states names every place that differs, in order, whatever the difference."""

from __future__ import annotations

import torch

from tune_nas.testing.states import differences


def test_every_difference_is_named_in_the_order_of_the_state() -> None:
    one = {
        "history": [1, 2],
        "alphas": {"normal": torch.zeros(2), "reduction": torch.zeros(2)},
        "masks": {"normal": 1},
        "stop": (None, 3),
        "epoch": 2,
    }
    other = {
        "epoch": 3,
        "stop": {"reason": None},
        "masks": {"reduction": 1},
        "alphas": {"normal": torch.ones(2), "reduction": torch.zeros(2)},
        "history": [1],
    }
    assert differences(one, other) == [
        "state.history",
        "state.alphas.normal",
        "state.masks",
        "state.stop",
        "state.epoch",
    ]


def test_tensors_of_other_types_or_shapes_differ() -> None:
    value = torch.zeros(2)
    for other in (value.double(), torch.zeros(1), torch.zeros(2, 1), [0.0, 0.0], 0.0, None):
        assert differences(value, other) == ["state"], other
        assert differences(other, value) == ["state"], other
    assert differences(value, value.clone()) == []


def test_times_and_memory_are_not_compared_and_nan_equals_itself() -> None:
    one = {"seconds": 1.0, "memory_mib": 2, "loss": float("nan")}
    assert differences(one, {"seconds": 2.0, "memory_mib": 3, "loss": float("nan")}) == []
    assert differences(one, {"seconds": 1.0, "memory_mib": 2, "loss": 1.0}) == ["state.loss"]
