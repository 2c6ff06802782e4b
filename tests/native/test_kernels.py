"""The kernels against torch's operations, and what happens where there are none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils import cpp_extension

from tune_nas.layers.primitives import FactorizedReduce
from tune_nas.native import (
    Chain,
    Stage,
    Term,
    build_kernels,
    is_kernels_pool,
    kernels_for,
    mix,
    normed_pool,
    pool,
    stages_of,
)
from tune_nas.spaces.operations import dil_conv_5x5, nor_conv_1x1, nor_conv_3x3, sep_conv_3x3

BUILDERS = {
    "nor_conv_1x1": nor_conv_1x1,
    "nor_conv_3x3": nor_conv_3x3,
    "sep_conv_3x3": sep_conv_3x3,
    "dil_conv_5x5": dil_conv_5x5,
}


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=False)


def learning_norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def chain(
    name: str, channels: int, stride: int, affine: bool = False
) -> tuple[nn.Module, list[Stage]]:
    torch.manual_seed(0)
    operation = BUILDERS[name](channels, stride, learning_norm if affine else norm).double()
    stages = stages_of(operation)
    assert stages is not None
    return operation, stages


def distance(one: Tensor, other: Tensor) -> float:
    one, other = one.detach(), other.detach()
    return float((one - other).abs().max() / other.abs().max())


@pytest.fixture
def fresh() -> Iterator[None]:
    build_kernels.cache_clear()
    yield
    build_kernels.cache_clear()


@pytest.fixture(autouse=True)
def compiled(request: pytest.FixtureRequest) -> None:
    if "fresh" not in request.fixturenames and not build_kernels():
        pytest.skip("no compiler")


# 3 × 3 convolutions go by tiles of 2 × 2 where both sides are even and there are 16 channels, and
# depthwise ones by two lines where the width is a multiple of 8
@pytest.mark.parametrize(
    "size", [(1, 2), (2, 3), (5, 6), (8, 9), (16, 17), (2, 2), (4, 10), (12, 6), (5, 8), (2, 16)]
)
@pytest.mark.parametrize("channels", [4, 8, 12, 16, 36, 48, 72])
@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("nor_conv_1x1", 1),
        ("nor_conv_3x3", 1),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 2),
        ("dil_conv_5x5", 1),
        ("dil_conv_5x5", 2),
    ],
)
@pytest.mark.parametrize("affine", [False, True])
def test_a_chain_is_the_operation(
    affine: bool, name: str, stride: int, channels: int, size: tuple[int, int]
) -> None:
    operation, stages = chain(name, channels, stride, affine)
    x = torch.randn(6, channels, *size, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    plain = scale * operation(x)
    base = torch.randn_like(plain)
    mixed = mix(base.clone(), [], [Chain(x, stages, scale[0])])
    assert distance(mixed, base + plain) <= 1e-12
    g = torch.randn_like(plain)
    wanted = [x, scale, *operation.parameters()]
    found = torch.autograd.grad(mixed, wanted, g)
    truth = torch.autograd.grad(plain, wanted, g)
    largest = max(float(gradient.abs().max()) for gradient in truth)
    for mine, theirs in zip(found, truth, strict=True):
        assert float((mine - theirs).abs().max()) <= 1e-12 * largest


@pytest.mark.parametrize("channels", [4, 8, 16, 24, 36, 64])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("name", list(BUILDERS))
def test_in_float32_a_chain_is_as_near_to_float64_as_torch_is(
    name: str, affine: bool, channels: int
) -> None:
    operation, stages = chain(name, channels, 1, affine)

    def gradients(x: Tensor, g: Tensor, dtype: torch.dtype, native: bool) -> list[Tensor]:
        operation.to(dtype)
        inputs = x.to(dtype).requires_grad_()
        scale = torch.ones(1, dtype=dtype)
        out = mix(None, [], [Chain(inputs, stages, scale[0])]) if native else operation(inputs)
        wanted = [inputs, *operation.parameters()]
        return [out.double(), *(t.double() for t in torch.autograd.grad(out, wanted, g.to(dtype)))]

    # over some draws: in one of them either may be the nearer by chance
    draws = [torch.randn(2, 32, channels, 16, 16, dtype=torch.float64).unbind() for _ in range(4)]

    def over_draws(dtype: torch.dtype, native: bool) -> list[Tensor]:
        found = [gradients(*draw, dtype, native) for draw in draws]
        return [torch.stack(each) for each in zip(*found, strict=True)]

    exact = over_draws(torch.float64, native=False)
    torchs = over_draws(torch.float32, native=False)
    mine = over_draws(torch.float32, native=True)
    for truth, theirs, ours in zip(exact, torchs, mine, strict=True):
        # a ten millionth of the whole is the last bit
        assert (ours - truth).norm() <= 2 * (theirs - truth).norm() + 1e-7 * truth.norm()


def test_the_loops_of_the_kernels_have_the_threads_of_torch() -> None:
    assert build_kernels()
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            expected = threads if torch.backends.openmp.is_available() else 1
            assert torch.ops.tune_nas.threads_of_loops() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", ["sep_conv_3x3", "nor_conv_3x3"])
def test_the_scheduling_of_threads_changes_no_bit(name: str, threads: int) -> None:
    """With 3, there are more than cores on a small machine: they are interrupted anywhere."""
    operation, stages = chain(name, 16, 1)
    operation.float()
    pooling = nn.MaxPool2d(3, 1, 1)
    x = torch.randn(11, 16, 16, 16, requires_grad=True)
    scales = torch.tensor([0.3, 0.7], requires_grad=True)
    before, found = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    try:
        for _ in range(12):
            pooled = normed_pool(pooling, [norm(16)], x)
            out = mix(None, [Term(pooled, scales[0])], [Chain(x, stages, scales[1])])
            wanted = [x, scales, *operation.parameters()]
            found.append([out, *torch.autograd.grad(out.square().sum(), wanted)])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, again in zip(found[0], other, strict=True):
            assert torch.equal(one, again)


@pytest.mark.parametrize(
    ("name", "channels", "size"), [("dil_conv_5x5", 8, 9), ("nor_conv_3x3", 16, 8)]
)
def test_more_threads_give_the_same_but_for_rounding(name: str, channels: int, size: int) -> None:
    operation, stages = chain(name, channels, 1)
    x = torch.randn(7, channels, size, size, dtype=torch.float64, requires_grad=True)
    scale = torch.ones(1, dtype=torch.float64)
    g = torch.randn(7, channels, size, size, dtype=torch.float64)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = mix(None, [], [Chain(x, stages, scale[0])])
            found.append(torch.autograd.grad(out, [x, *operation.parameters()], g))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert distance(one, other) <= 1e-12


# some of them have a factor for each image
@pytest.mark.parametrize("n_chains", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("channels", [8, 36])
def test_a_sum_of_chains_with_factors_is_that_of_torch(channels: int, n_chains: int) -> None:
    chains, plain, wanted = list[Chain](), list[Tensor](), list[Tensor]()
    x = torch.randn(3, channels, 6, 8, dtype=torch.float64, requires_grad=True)
    for k in range(n_chains):
        operation, stages = chain("nor_conv_1x1", channels, 1)
        scale = torch.tensor(0.5 + k, dtype=torch.float64)
        factors = torch.rand(3, dtype=torch.float64) if k % 3 == 1 else None
        chains.append(Chain(x, stages, scale, factors))
        by_image = torch.ones(3, dtype=torch.float64) if factors is None else factors
        plain.append(scale * by_image[:, None, None, None] * operation(x))
        wanted += operation.parameters()
    truth = x + torch.stack(plain).sum(0)
    mixed = mix(None, [Term(x, torch.ones((), dtype=torch.float64))], chains)
    assert distance(mixed, truth) <= 1e-12
    g = torch.randn_like(truth)
    found = torch.autograd.grad(mixed, [x, *wanted], g)
    for mine, theirs in zip(found, torch.autograd.grad(truth, [x, *wanted], g), strict=True):
        assert float((mine - theirs).abs().max()) <= 1e-12 * float(g.abs().sum())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("maximal", [True, False])
def test_a_term_that_is_pooled_is_pooled_again_and_not_kept(maximal: bool, stride: int) -> None:
    operation, stages = chain("sep_conv_3x3", 8, stride)
    module = (
        nn.MaxPool2d(3, stride, 1)
        if maximal
        else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    )
    x = torch.randn(3, 8, 6, 7, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    scales = torch.randn(3, dtype=torch.float64, requires_grad=True)
    y = torch.randn_like(module(x)).requires_grad_()
    plain = scales[0] * module(x) + scales[1] * y + scales[2] * operation(x)
    kept = dict[int, Tensor]()

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        terms = [Term(x, scales[0], module), Term(y, scales[1])]
        mixed = mix(None, terms, [Chain(x, stages, scales[2])])
    assert distance(mixed, plain) <= 1e-12
    maps = [tensor for tensor in kept.values() if tensor.dim() == 4 and tensor.shape[0] == 3]
    assert len(maps) == 2 + len(stages)  # x, y and what the stages make
    g = torch.randn_like(plain)
    wanted = [x, y, scales, *operation.parameters()]
    found = torch.autograd.grad(mixed, wanted, g, retain_graph=True)
    truth = torch.autograd.grad(plain, wanted, g, create_graph=True)
    for mine, theirs in zip(found, truth, strict=True):
        assert distance(mine, theirs) <= 1e-12
    again = torch.autograd.grad(mixed, wanted, g, create_graph=True)
    second, true_second = (
        torch.autograd.grad(sum(one.square().sum() for one in first), [x, scales])
        for first in (again, truth)
    )
    for mine, theirs in zip(second, true_second, strict=True):
        assert distance(mine, theirs) <= 1e-10


def test_other_poolings_are_left_to_torch() -> None:
    assert is_kernels_pool(nn.MaxPool2d(3, 2, 1))
    assert is_kernels_pool(nn.AvgPool2d(3, 1, 1, count_include_pad=False))
    others = [nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(5, 1, 2), nn.MaxPool2d(3, 1, 1, dilation=2)]
    assert not any(is_kernels_pool(other) for other in others)


def test_a_chain_hands_on_what_is_not_a_number() -> None:
    operation, stages = chain("sep_conv_3x3", 4, 1)
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    x[1, 2, 3, 3] = torch.nan
    scale = torch.ones(1, dtype=torch.float64)
    assert torch.equal(mix(None, [], [Chain(x, stages, scale[0])]).isnan(), operation(x).isnan())


@pytest.mark.parametrize("affine", [False, True])
def test_second_derivatives_go_through_all_of_them(affine: bool) -> None:
    operation, stages = chain("sep_conv_3x3", 4, 1, affine)
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    average = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    weights = list(operation.parameters())

    def products(native: bool) -> tuple[Tensor, ...]:
        if native:
            chain_ = Chain(pool(average, x), stages, scale[0])
            total = mix(None, [Term(x, scale[0] * scale[0])], [chain_])
        else:
            total = scale * operation(average(x)) + scale.square() * x
        first = torch.autograd.grad(total.pow(3).sum(), weights, create_graph=True)
        squares = cast(Tensor, sum(gradient.square().sum() for gradient in first))
        return torch.autograd.grad(squares, [x, scale, *weights])

    for mine, theirs in zip(products(True), products(False), strict=True):
        assert distance(mine, theirs) <= 1e-10


def test_what_is_no_chain_is_said_to_be_none() -> None:
    assert stages_of(nn.Identity()) is None
    assert stages_of(FactorizedReduce(4, 4, norm)) is None
    assert stages_of(nor_conv_3x3(4, 2, norm)) is None  # a dense convolution of stride 2
    biased = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1), norm(4))
    assert stages_of(biased) is None


def test_kernels_are_for_what_they_can_do() -> None:
    assert kernels_for(torch.zeros(1, 4, 2, 2))
    assert not kernels_for(torch.zeros(1, 6, 2, 2))
    assert not kernels_for(torch.zeros(1, 4, 2, 2, dtype=torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        assert not kernels_for(torch.zeros(1, 4, 2, 2))


@pytest.mark.usefixtures("fresh")
def test_without_a_compiler_one_line_is_logged_and_torch_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler here\nand much more")

    monkeypatch.setattr(cpp_extension, "load", fails)
    with caplog.at_level(logging.WARNING):
        assert not kernels_for(torch.zeros(1, 4, 2, 2))
        assert not kernels_for(torch.zeros(1, 4, 2, 2))
    (_, record) = caplog.records  # the first says that it is being compiled
    assert "no compiler here" in record.message
    assert "much more" not in record.message


@pytest.mark.usefixtures("fresh")
def test_what_was_compiled_whole_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    if not build_kernels():
        pytest.skip("no compiler")

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("compiled again")

    build_kernels.cache_clear()
    monkeypatch.setattr(cpp_extension, "load", fails)
    assert build_kernels()
