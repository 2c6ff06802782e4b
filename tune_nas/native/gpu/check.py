"""Checks that the Triton kernels work on a device. Importing this module imports triton."""

from __future__ import annotations

import logging
import math
from typing import cast

import torch
from torch import Tensor, nn

from tune_nas.layers.primitives import relu_conv_norm, separable_conv
from tune_nas.native.backend import TOLERANCE, MixKernels
from tune_nas.native.chain import Stage, stages_of
from tune_nas.native.gpu.launch import TritonKernels
from tune_nas.native.mix import Chain, Term, mix
from tune_nas.seeds import building

_LOG = logging.getLogger(__name__)


def kernels_agree(
    device: torch.device,
    dtype: torch.dtype,
    channels: int,
    kernels: MixKernels | None = None,
) -> bool:
    """Return whether the kernels compile, run and compute a small mix as torch does on a CPU.

    The first call on a machine takes some seconds; Triton caches compiled kernels. If they do not
    work, one line is logged. No random number is drawn.

    Args:
        device: Device to check.
        dtype: float32 or float64.
        channels: A multiple of 4.
        kernels: Kernels to check; None for Triton's.
    """
    try:
        found = _sample(device, dtype, channels, kernels or TritonKernels())
    except Exception as error:  # compiler, driver and Triton raise different errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    else:
        truth = _sample(torch.device("cpu"), torch.float64, channels, None)
        pairs = list(zip(found, truth, strict=True))
        if all(_near(one.cpu().double(), other, TOLERANCE[dtype]) for one, other in pairs):
            return True
        reason = "they do not compute what torch does"
    _LOG.warning(
        "no Triton kernels for %s, %s, %d channels, torch's operations are used: %s",
        *(device, str(dtype).removeprefix("torch."), channels, reason),
    )
    return False


def _near(one: Tensor, other: Tensor, farthest: float) -> bool:
    return bool((one - other).norm() <= farthest * other.norm())


def _sample(
    device: torch.device, dtype: torch.dtype, channels: int, kernels: MixKernels | None
) -> list[Tensor]:
    """Return a mix and all of its gradients: by kernels, or by torch's operations for None."""
    with building():
        separable = separable_conv(channels, 3, 2, _norm)
        dense = relu_conv_norm(channels, channels, 3, 1, _norm)
    operations = nn.ModuleList([separable, dense]).to(device, dtype)
    for weight in operations.parameters():
        weight.data = _values(tuple(weight.shape), device, dtype)
    x, y = (
        _values((2, channels, *size), device, dtype).requires_grad_() for size in ((7, 6), (4, 3))
    )
    scales = _values((3,), device, dtype).requires_grad_()
    with torch.enable_grad():
        if kernels is None:
            out = scales[0] * y + scales[1] * separable(x) + scales[2] * dense(y)
        else:
            chains = [
                Chain(start, cast(list[Stage], stages_of(operation)), scale)
                for start, operation, scale in ((x, separable, scales[1]), (y, dense, scales[2]))
            ]
            out = mix(None, [Term(y, scales[0])], chains, kernels)
        wanted = [x, y, scales, *operations.parameters()]
        found = torch.autograd.grad((out * _values(tuple(out.shape), device, dtype)).sum(), wanted)
    return [out.detach(), *found]


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=False, track_running_stats=False)


def _values(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return unordered values from -1 to 1, always the same."""
    count = torch.arange(math.prod(shape), dtype=torch.float64)
    return (count.square() * 0.37 + 1).sin().reshape(shape).to(device, dtype)
