"""The Triton kernels against torch's operations; test_gpu_kernels.py runs it, in its own process.

With TRITON_INTERPRET=1 Triton's interpreter runs them on tensors of a CPU, slowly: sizes are tiny.
Without it they are run on a GPU.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_nas.native import Chain, Stage, Term, mix, stages_of
from tune_nas.native.gpu.check import kernels_agree
from tune_nas.native.gpu.launch import TritonKernels
from tune_nas.spaces import CellWeights, load_space, native_cell
from tune_nas.spaces.mixed_cell import MixedCell
from tune_nas.spaces.native_cell import NativeCell
from tune_nas.spaces.operations import dil_conv_5x5, nor_conv_1x1, nor_conv_3x3, sep_conv_3x3

DEVICE = torch.device("cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda")
KERNELS = TritonKernels()
KINDS = [
    ("nor_conv_1x1", 1),
    ("nor_conv_3x3", 1),
    ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 2),
    ("dil_conv_5x5", 1),
    ("dil_conv_5x5", 2),
]
BUILDERS = {
    "nor_conv_1x1": nor_conv_1x1,
    "nor_conv_3x3": nor_conv_3x3,
    "sep_conv_3x3": sep_conv_3x3,
    "dil_conv_5x5": dil_conv_5x5,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False


def chain(
    name: str, channels: int, stride: int = 1, tracked: bool = False, affine: bool = False
) -> tuple[nn.Module, list[Stage]]:
    norm = partial(nn.BatchNorm2d, affine=affine, track_running_stats=tracked)
    operation = BUILDERS[name](channels, stride, norm).to(DEVICE, torch.float64)
    for weight in operation.parameters():
        if weight.dim() == 1:  # scale or shift of a normalization
            nn.init.normal_(weight)
    operation.to(memory_format=torch.channels_last)
    stages = stages_of(operation)
    assert stages is not None
    return operation, stages


def random(*shape: int, wanted: bool = True) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, device=DEVICE).requires_grad_(wanted)


def assert_close(found: Sequence[Tensor], truth: Sequence[Tensor], tolerance: float) -> None:
    largest = max(float(one.detach().abs().max()) for one in truth)
    for one, other in zip(found, truth, strict=True):
        assert one.shape == other.shape
        assert float((one - other).detach().abs().max()) <= tolerance * largest


@pytest.mark.parametrize(
    ("channels", "size", "statistics"),
    [(4, (5, 4), "running"), (16, (5, 5), "batch"), (24, (1, 3), "tracked")],
)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(("name", "stride"), KINDS)
def test_a_chain_is_the_operation(
    name: str, stride: int, affine: bool, channels: int, size: tuple[int, int], statistics: str
) -> None:
    operation, stages = chain(name, channels, stride, statistics != "batch", affine)
    for stage in stages:
        if statistics != "batch":
            assert stage.norm.running_mean is not None and stage.norm.running_var is not None
            stage.norm.running_mean.normal_()
            stage.norm.running_var.uniform_(0.5, 2.0)
    operation.train(statistics != "running")
    x, scale = random(2, channels, *size), random(1)
    before = {name: value.clone() for name, value in operation.state_dict().items()}
    plain = scale * operation(x)
    base, g = random(*plain.shape, wanted=False), random(*plain.shape, wanted=False)
    wanted = [x, scale, *operation.parameters()]
    truth = torch.autograd.grad(plain, wanted, g)
    after = {name: value.clone() for name, value in operation.state_dict().items()}
    operation.load_state_dict(before)
    mixed = mix(base.clone(), [], [Chain(x, stages, scale[0])], KERNELS)
    assert_close([mixed], [base + plain], 1e-12)
    found = torch.autograd.grad(mixed, wanted, g)
    assert_close(found, truth, 1e-12)
    for gradient, weight in zip(found[2:], operation.parameters(), strict=True):
        assert gradient.stride() == weight.stride()
    assert (statistics == "tracked") == any(
        not torch.equal(after[name], before[name]) for name in after
    )
    for name, value in operation.state_dict().items():
        assert_close([value.double()], [after[name].double()], 1e-12)


@pytest.mark.parametrize(("name", "stride"), KINDS)
def test_in_float32_a_chain_is_as_near_to_float64_as_torch_is(name: str, stride: int) -> None:
    operation, stages = chain(name, 16, stride)
    x = random(3, 16, 7, 6)
    g = torch.randn_like(operation(x))

    def gradients(dtype: torch.dtype, ours: bool) -> list[Tensor]:
        operation.to(dtype)
        inputs = x.detach().to(dtype).requires_grad_()
        scale = torch.ones(1, dtype=dtype, device=DEVICE)
        chains = [Chain(inputs, stages, scale[0])]
        out = mix(None, [], chains, KERNELS) if ours else operation(inputs)
        found = torch.autograd.grad(out, [inputs, *operation.parameters()], g.to(dtype))
        return [out.detach().double(), *(gradient.double() for gradient in found)]

    exact = gradients(torch.float64, ours=False)
    torchs = gradients(torch.float32, ours=False)
    mine = gradients(torch.float32, ours=True)
    for truth, theirs, ours in zip(exact, torchs, mine, strict=True):
        # a ten millionth of the whole is the last bit: there either may be the nearer one
        assert (ours - truth).norm() <= 2 * (theirs - truth).norm() + 1e-7 * truth.norm()


@pytest.mark.parametrize("asked", ["all", "scales", "scales and one input"])
def test_all_that_is_added_up_in_a_node(asked: str) -> None:
    """Chains that share launches and inputs, of one stage and two; terms that are inputs, twice."""
    x, y, z = random(2, 8, 5, 5), random(2, 8, 5, 5), random(2, 8, 5, 5)
    names = ("sep_conv_3x3", "sep_conv_3x3", "sep_conv_3x3", "nor_conv_1x1", "nor_conv_3x3")
    built = [chain(name, 8) for name in names]
    starts = [x, y, x, x, y]
    terms, scales = [z, x, x], random(8)
    weights = [weight for operation, _ in built for weight in operation.parameters()]
    everything = {
        "all": [scales, x, y, z, *weights],
        "scales": [scales],
        "scales and one input": [scales, y],
    }
    wanted = everything[asked]
    for tensor in (x, y, z, *weights):
        tensor.requires_grad_(any(tensor is other for other in wanted))
    ends = [operation(start) for start, (operation, _) in zip(starts, built, strict=True)]
    base = random(2, 8, 5, 5, wanted=False)
    plain = base.clone()
    for scale, addend in zip(scales.unbind(), [*terms, *ends], strict=True):
        plain = plain + scale * addend
    each = iter(scales.unbind())
    mixed = mix(
        base.clone(),
        [Term(term, next(each)) for term in terms],
        [Chain(start, s, next(each)) for start, (_, s) in zip(starts, built, strict=True)],
        KERNELS,
    )
    assert_close([mixed], [plain], 1e-12)
    g = torch.randn_like(plain)
    found = torch.autograd.grad(mixed, wanted, g)
    assert_close(found, torch.autograd.grad(plain, wanted, g), 1e-12)


def test_more_is_added_up_than_a_launch_takes() -> None:
    operation, stages = chain("nor_conv_1x1", 4)
    terms, scales = random(62, 2, 4, 2, 2), random(62)
    plain = (scales[:61, None, None, None, None] * terms[:61]).sum(0)
    plain = plain + scales[61] * operation(terms[61])
    pairs = zip(terms[:61].unbind(), scales[:61].unbind(), strict=True)
    mixed = mix(
        None, [Term(*pair) for pair in pairs], [Chain(terms[61], stages, scales[61])], KERNELS
    )
    assert_close([mixed], [plain], 1e-12)
    wanted, g = [terms, scales, *operation.parameters()], torch.randn_like(plain)
    found = torch.autograd.grad(mixed, wanted, g)
    assert_close(found, torch.autograd.grad(plain, wanted, g), 1e-12)


@pytest.mark.parametrize(
    ("space", "name"), [("nasbench201", "normal"), ("darts", "normal"), ("darts", "reduction")]
)
def test_a_cell_is_the_plain_one(space: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def mixed(*arguments: Any) -> Tensor:
        calls.append(arguments)
        return mix(*arguments, KERNELS)

    monkeypatch.setattr(native_cell, "mix", mixed)
    monkeypatch.setattr(native_cell, "kernels_for", lambda x: x.shape[1] % 4 == 0)
    monkeypatch.setattr(native_cell, "is_kernels_pool", lambda module: False)
    cell = load_space(space).cells[name]
    norm = partial(nn.BatchNorm2d, affine=False, track_running_stats=False)
    plain, fast = (
        form(cell, 4, name == "reduction", norm, True, 1).to(DEVICE, torch.float64)
        for form in (MixedCell, NativeCell)
    )
    fast.load_state_dict(plain.state_dict())
    inputs = [random(2, 4, 4, 4) for _ in range(cell.n_inputs)]
    weights, active = random(len(cell.edges), cell.n_operations), None
    if DEVICE.type == "cpu" and space == "darts":  # a part of it: the interpreter is slow
        active = torch.arange(weights.numel()).reshape(weights.shape) % 2 == 0
        active[5 if name == "normal" else 2 :] = False
    g, outputs, gradients = None, [], []
    for net in (plain, fast):
        out = net(inputs, CellWeights(weights, active=active))
        g = torch.randn_like(out) if g is None else g
        wanted = [*inputs, weights, *net.parameters()]
        found = torch.autograd.grad(out, wanted, g, allow_unused=True)
        outputs.append(out)
        gradients.append([torch.zeros((), device=DEVICE) if one is None else one for one in found])
    assert_close(outputs[1:], outputs[:1], 1e-12)
    assert_close(gradients[1], gradients[0], 1e-12)
    assert calls


def test_second_derivatives_go_through() -> None:
    operation, stages = chain("sep_conv_3x3", 4, tracked=True)
    operation.eval()
    other, other_stages = chain("nor_conv_3x3", 4, affine=True)
    x, scale = random(2, 4, 3, 3), random(3)
    weights = [*operation.parameters(), *other.parameters()]

    def products(ours: bool) -> tuple[Tensor, ...]:
        if ours:
            chains = [Chain(x, stages, scale[0]), Chain(x, other_stages, scale[1])]
            total = mix(None, [Term(x, scale[2])], chains, KERNELS)
        else:
            total = scale[0] * operation(x) + scale[1] * other(x) + scale[2] * x
        first = torch.autograd.grad(total.pow(3).sum(), weights, create_graph=True)
        squares = torch.stack([gradient.square().sum() for gradient in first]).sum()
        return torch.autograd.grad(squares, [x, scale, *weights])

    assert_close(products(True), products(False), 1e-10)


def test_what_is_not_a_number_is_handed_on() -> None:
    operation, stages = chain("sep_conv_3x3", 4)
    x = random(3, 4, 5, 5, wanted=False)
    x[1, 2, 3, 3] = torch.nan
    scale = torch.ones(1, dtype=torch.float64, device=DEVICE)
    mixed = mix(None, [], [Chain(x, stages, scale[0])], KERNELS)
    assert torch.equal(mixed.isnan(), operation(x).isnan())


def test_the_same_bits_come_out_every_time() -> None:
    operation, stages = chain("dil_conv_5x5", 8)
    operation.float()
    x = torch.randn(2, 8, 6, 6, device=DEVICE, requires_grad=True)
    scale = torch.ones(1, device=DEVICE)
    found = []
    for _ in range(2):
        out = mix(None, [], [Chain(x, stages, scale[0])], KERNELS)
        gradients = torch.autograd.grad(out.square().sum(), [x, *operation.parameters()])
        found.append([out, *gradients])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_that_agree_with_torch_are_used(dtype: torch.dtype) -> None:
    before = torch.get_rng_state()
    assert kernels_agree(DEVICE, dtype, 4)
    assert torch.equal(torch.get_rng_state(), before)


class _Broken(TritonKernels):
    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def mix_forward(self, *arguments: Any) -> tuple[Tensor, list[Tensor], Any]:
        if self.fails:
            raise RuntimeError("no room for it\nand much more")
        out, kept, state = super().mix_forward(*arguments)
        return out * 1.01, kept, state


@pytest.mark.parametrize(
    ("fails", "reason"), [(True, "no room for it"), (False, "they do not compute what torch does")]
)
def test_kernels_that_do_not_are_not_and_one_line_is_logged(
    fails: bool, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert not kernels_agree(DEVICE, torch.float32, 4, _Broken(fails))
    (record,) = caplog.records
    assert record.getMessage().endswith(f"torch's operations are used: {reason}")
