"""Optimizers and determinism without an import of torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from tune_nas.eager_optimizers import EagerAdam, EagerSgd

Make = Callable[[list[torch.Tensor]], torch.optim.Optimizer]


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (
            lambda p: EagerSgd(p, lr=0.1, momentum=0.9, weight_decay=3e-4),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=3e-4),
        ),
        (
            lambda p: EagerAdam(p, lr=0.1, betas=(0.5, 0.999), weight_decay=1e-3),
            lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.999), weight_decay=1e-3),
        ),
    ],
)
def test_steps_and_states_are_those_of_torch(ours: Make, torchs: Make) -> None:
    weights = [
        [torch.linspace(-1, 2, n, dtype=torch.float64).requires_grad_() for n in (5, 3)]
        for _ in range(2)
    ]
    optimizers = [ours(weights[0]), torchs(weights[1])]
    for step in range(6):
        if step == 3:  # each continues with the state of the other
            states = [each.state_dict() for each in optimizers]
            optimizers = [ours(weights[0]), torchs(weights[1])]
            for each, state in zip(optimizers, reversed(states), strict=True):
                each.load_state_dict(state)
        for each, own in zip(optimizers, weights, strict=True):
            each.zero_grad(set_to_none=True)
            torch.stack([(tensor**4).sum() for tensor in own]).sum().backward()  # type: ignore[no-untyped-call]
            each.step()
    for mine, theirs in zip(*weights, strict=True):
        assert torch.equal(mine, theirs)
        assert not torch.equal(mine, torch.linspace(-1, 2, len(mine), dtype=torch.float64))


@pytest.mark.parametrize("first", ["", "import torch._inductor.config"])
def test_the_compiler_is_deterministic_when_it_is_imported(first: str) -> None:
    # In a process of its own: it changes the whole process.
    code = f"""
{first}
import sys
import torch
from tune_nas.without_compiler import set_deterministic

def state():
    import torch._inductor.config as compiler
    return compiler.deterministic, torch.get_deterministic_debug_mode()

set_deterministic(True, warn_only=True)
assert ("torch._dynamo" in sys.modules) is {bool(first)}
assert state() == (True, 1), state()
set_deterministic(False, warn_only=False)
assert state() == (False, 0), state()
set_deterministic(True, warn_only=False)
assert state() == (True, 2), state()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
