"""Optimizers for graphs are torch's own but for rounding, with the same states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tune_nas.search.capturable import CapturableAdam, CapturableSgd

SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, CapturableSgd, SGD),
    "nesterov": (torch.optim.SGD, CapturableSgd, {**SGD, "nesterov": True}),
    "no momentum": (torch.optim.SGD, CapturableSgd, {"lr": 0.1}),
    "adam": (
        torch.optim.Adam,
        CapturableAdam,
        {"lr": 0.1, "betas": (0.5, 0.999), "weight_decay": 0.01},
    ),
}


def give(parameters: list[Tensor], step: int) -> None:
    """Give a gradient to all but the last, which has one from the second step on."""
    generator = torch.Generator().manual_seed(step)
    for index, parameter in enumerate(parameters):
        gradient = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.grad = None if index == 2 and step == 0 else gradient


def start() -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    shapes = [(3, 4), (5,), (2, 2, 2)]
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


@pytest.mark.parametrize("case", CASES)
def test_steps_and_states_are_those_of_torch(case: str) -> None:
    own_kind, kind, options = CASES[case]
    truth, found = start(), start()
    own, capturable = own_kind(truth, **options), kind(found, **options)
    for step in range(6):
        if step == 3:  # each goes on from the other's state
            states = own.state_dict(), capturable.state_dict()
            own, capturable = own_kind(truth, **options), kind(found, **options)
            own.load_state_dict(states[1])
            capturable.load_state_dict(states[0])
        give(truth, step)
        give(found, step)
        own.step()
        capturable.step()
        for one, other in zip(truth, found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)
    states = own.state_dict(), capturable.state_dict()
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for place, state in states[0]["state"].items():
        for name, value in state.items():
            torch.testing.assert_close(value, states[1]["state"][place][name])


def test_the_learning_rate_is_read_from_its_tensor() -> None:
    (parameter,) = parameters = [torch.ones(2, requires_grad=True)]
    optimizer = CapturableSgd(parameters, lr=1.0)
    for rate in (1.0, 0.5):
        optimizer.set_rate(rate)
        assert optimizer.param_groups[0]["lr"] == float(optimizer.rate) == rate
        before = parameter.detach().clone()
        parameter.grad = torch.full((2,), 2.0)
        optimizer.step()
        assert torch.equal(before - parameter.detach(), torch.full((2,), 2.0 * rate))
