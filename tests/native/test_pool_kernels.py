"""Pooling by the kernels, against torch: values, gradients, second derivatives."""

from __future__ import annotations

import pytest
import torch
from test_kernels import distance
from torch import nn

from tune_nas.native import build_kernels, normed_pool, pool

pytestmark = pytest.mark.skipif(not build_kernels(), reason="no compiler")


@pytest.mark.parametrize(
    ("dtype", "forward", "backward"), [(torch.float32, 1e-6, 1e-6), (torch.float64, 1e-15, 1e-14)]
)
@pytest.mark.parametrize("channels", [8, 16, 20])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 8), (16, 16)])
@pytest.mark.parametrize("maximal", [True, False])
def test_pooling_is_that_of_torch(
    maximal: bool,
    size: tuple[int, int],
    stride: int,
    channels: int,
    dtype: torch.dtype,
    forward: float,
    backward: float,
) -> None:
    module = (
        nn.MaxPool2d(3, stride, 1)
        if maximal
        else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    )
    # many maxima are equal
    x = torch.randint(0, 3, (3, channels, *size)).to(dtype).requires_grad_()
    mine, theirs = pool(module, x), module(x)
    assert distance(mine + 1, theirs + 1) <= forward
    g = torch.randn_like(theirs)
    (of_mine,) = torch.autograd.grad(mine, x, g)
    (of_theirs,) = torch.autograd.grad(theirs, x, g)
    assert distance(of_mine, of_theirs) <= backward


@pytest.mark.parametrize("channels", [4, 8, 16])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 8), (16, 16)])
@pytest.mark.parametrize("maximal", [True, False])
def test_pooling_and_its_normalization_are_those_of_torch(
    maximal: bool, size: tuple[int, int], stride: int, channels: int
) -> None:
    torch.manual_seed(0)
    module = (
        nn.MaxPool2d(3, stride, 1)
        if maximal
        else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    )
    mine, theirs = ([nn.BatchNorm2d(channels, affine=False).double() for _ in "ab"] for _ in "ab")
    x = torch.randn(3, channels, *size, dtype=torch.float64, requires_grad=True)
    found = normed_pool(module, mine, x)
    truth, _ = (norm(module(x)) for norm in theirs)
    assert distance(found, truth) <= 1e-12
    for one, other in zip(mine, theirs, strict=True):
        for name, buffer in one.named_buffers():
            torch.testing.assert_close(buffer, other.get_buffer(name), rtol=1e-12, atol=1e-12)
    g = torch.randn_like(truth)
    (of_mine,) = torch.autograd.grad(found, x, g, create_graph=True)
    (of_theirs,) = torch.autograd.grad(truth, x, g, create_graph=True)
    assert distance(of_mine, of_theirs) <= 1e-10
    (of_found,) = torch.autograd.grad(found, x, g)
    assert distance(of_found, of_theirs) <= 1e-10
    (second,) = torch.autograd.grad(of_mine.square().sum(), x)
    (true_second,) = torch.autograd.grad(of_theirs.square().sum(), x)
    assert distance(second, true_second) <= 1e-8


def test_a_maximum_hands_on_what_is_not_a_number() -> None:
    x = torch.zeros(1, 4, 5, 5)
    x[0, 2, 3, 3] = torch.nan
    assert torch.equal(
        pool(nn.MaxPool2d(3, 1, 1), x).isnan(), nn.functional.max_pool2d(x, 3, 1, 1).isnan()
    )
