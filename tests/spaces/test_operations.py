"""The contract of every registered operation, and the registry's own rules."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tune_nas.errors import ConfigError
from tune_nas.layers.primitives import FactorizedReduce, ResidualReduction
from tune_nas.spaces import build_operation, operation_kind, operation_names, register_operation
from tune_nas.spaces.operation_registry import KINDS

NORMS = {
    "final": nn.BatchNorm2d,
    "supernet": partial(nn.BatchNorm2d, affine=False, track_running_stats=False),
}


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 2)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", operation_names())
def test_operation_keeps_channels_and_divides_size(name, stride, size, norm):
    operation = build_operation(name, 4, stride, norm).double()
    x = torch.randn(3, 4, *size, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    out = operation(x)
    assert out.shape == (3, 4, -(-size[0] // stride), -(-size[1] // stride))
    assert out.dtype == torch.float64
    assert torch.equal(x.detach(), before), "the input, which other operations read, was changed"
    if operation_kind(name) in ("none", "noise"):
        assert out.any() == (operation_kind(name) == "noise") and not out.requires_grad
        return
    out.pow(3).sum().backward()
    assert x.grad.isfinite().all()
    if min(size) > 2:  # one pixel, normalized over 3 samples, can have a vanishing gradient
        assert x.grad.abs().sum() > 0
        assert all(p.grad.abs().sum() > 0 for p in operation.parameters() if p.dim() == 4)


@pytest.mark.parametrize("name", operation_names())
def test_only_convolutions_learn_at_stride_1(name):
    learns = any(True for _ in build_operation(name, 4, 1, nn.BatchNorm2d).parameters())
    assert operation_kind(name) in KINDS
    assert learns == (operation_kind(name) == "convolution")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # depthwise, pointwise and batch norm's two, by hand, for 4 channels
        ("sep_conv_3x3", 2 * (4 * 9 + 16 + 8)),
        ("sep_conv_5x5", 2 * (4 * 25 + 16 + 8)),
        ("dil_conv_3x3", 4 * 9 + 16 + 8),
        ("dil_conv_5x5", 4 * 25 + 16 + 8),
        ("nor_conv_1x1", 16 + 8),
        ("nor_conv_3x3", 16 * 9 + 8),
    ],
)
def test_parameters_of_convolutions(name, parameters):
    operation = build_operation(name, 4, 1, nn.BatchNorm2d)
    assert sum(p.numel() for p in operation.parameters()) == parameters


@pytest.mark.parametrize(("name", "reach"), [("dil_conv_3x3", 2), ("dil_conv_5x5", 4)])
def test_dilated_convolutions_reach_as_far_as_they_should(name, reach):
    operation = build_operation(name, 1, 1, lambda channels: nn.Identity()).double()
    x = torch.ones(1, 1, 13, 13, dtype=torch.float64, requires_grad=True)
    operation(x)[0, 0, 6, 6].backward()
    rows = x.grad[0, 0].abs().sum(dim=1).nonzero().flatten().tolist()
    assert rows == list(range(6 - reach, 6 + reach + 1, 2))


def test_average_pool_counts_only_pixels_inside():
    ones = torch.ones(1, 1, 4, 4)
    assert torch.equal(build_operation("avg_pool_3x3", 1, 1, nn.BatchNorm2d)(ones), ones)


def test_factorized_reduce_is_two_shifted_convolutions_also_at_odd_sizes():
    module = FactorizedReduce(3, 5, lambda channels: nn.Identity()).double()
    for size in (6, 7):
        x = torch.randn(2, 3, size, size, dtype=torch.float64)
        out = module(x)
        last = size // 2 - 1  # the shifted convolution's last pixel that lies inside
        straight = F.conv2d(F.relu(x), module.straight.weight)[:, :, ::2, ::2]
        shifted = F.conv2d(F.relu(x), module.shifted.weight)[:, :, 1::2, 1::2]
        torch.testing.assert_close(out[:, :2], straight)
        torch.testing.assert_close(out[:, 2:, : last + 1, : last + 1], shifted)
        assert not out[:, 2:, last + 1 :].any()


@pytest.mark.parametrize("size", [8, 7, 1])
def test_residual_reduction_halves_any_size(size):
    out = ResidualReduction(3, 6, nn.BatchNorm2d)(torch.randn(2, 3, size, size))
    assert out.shape == (2, 6, (size + 1) // 2, (size + 1) // 2)


def test_unknown_operation_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown operation 'sep_conv_3'; did you mean 'sep_conv"):
        build_operation("sep_conv_3", 4, 1, nn.BatchNorm2d)
    with pytest.raises(ConfigError, match="unknown operation 'xyz'; known: avg_pool_3x3, "):
        operation_kind("xyz")


def test_registry_refuses_a_taken_name_an_unknown_kind_and_bad_sizes():
    with pytest.raises(ValueError, match=r"'none' is registered already, by tune_nas\.spaces\.op"):
        register_operation("none", kind="none")
    with pytest.raises(ValueError, match="kind is 'conv', but must be one of skip, pool"):
        register_operation("new", kind="conv")
    with pytest.raises(ValueError, match="stride is 3, but must be 1 or 2"):
        build_operation("none", 4, 3, nn.BatchNorm2d)
    with pytest.raises(ValueError, match="channels is 0, but must be >= 1"):
        build_operation("none", 0, 1, nn.BatchNorm2d)
