"""What the kernels run of a stack beside its cells."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tune_nas.layers.primitives import ResidualReduction
from tune_nas.native import build_kernels
from tune_nas.spaces import Supernet, bridged_stack, load_space
from tune_nas.spaces.bridged_stack import BridgedStack

EXACT = 1e-12
REDUCTION = 1  # its place in the stack, after one cell


def stack_of(channels: int) -> tuple[BridgedStack, ResidualReduction]:
    """Return a stack of NAS-Bench-201, and a copy of its first reduction."""
    torch.manual_seed(0)
    sizes = {"n_classes": 2, "init_channels": channels, "cells": 1}
    backbone = Supernet(load_space("nasbench201"), **sizes).double().backbone
    reduction = backbone.blocks[REDUCTION]
    assert isinstance(reduction, ResidualReduction)
    return BridgedStack(backbone), copy.deepcopy(reduction)


def assert_near(found: Tensor, expected: Tensor) -> None:
    found, expected = found.detach(), expected.detach()
    assert float((found - expected).abs().max()) <= EXACT * float(expected.abs().max())


@pytest.mark.skipif(not build_kernels(), reason="kernels cannot be compiled")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("channels", "side"), [(4, 5), (16, 8)])
def test_the_last_convolution_of_a_residual_reduction_is_by_the_kernels(
    channels: int, side: int, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, plain = stack_of(channels)
    ours = stack._backbone.blocks[REDUCTION]
    for block in (ours, plain):
        block.train(training)
    ran = []
    mix = bridged_stack.mix
    monkeypatch.setattr(bridged_stack, "mix", lambda *given: ran.append(1) or mix(*given))
    x = torch.randn(3, channels, side, side, dtype=torch.float64, requires_grad=True)
    outputs = [plain(x), stack._reduce(REDUCTION, x)]
    assert ran == [1]
    assert_near(outputs[1], outputs[0])
    g = torch.randn_like(outputs[0])
    gradients = [
        torch.autograd.grad(output, [x, *block.parameters()], g)
        for output, block in zip(outputs, (plain, ours), strict=True)
    ]
    for found, expected in zip(gradients[1], gradients[0], strict=True):
        assert_near(found, expected)
    for found, expected in zip(ours.buffers(), plain.buffers(), strict=True):
        assert_near(found.double(), expected.double())


def test_without_kernels_a_reduction_is_torchs() -> None:
    stack, block = stack_of(3)
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)  # 3 channels: no kernels
    assert torch.equal(stack._reduce(REDUCTION, x), block(x))
