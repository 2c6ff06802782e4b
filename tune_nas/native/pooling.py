"""Pooling by the kernels, as torch does it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.native.mix import in_channels_last


def is_kernels_pool(module: nn.MaxPool2d | nn.AvgPool2d) -> bool:
    """Whether a pooling is what the kernels do: 3×3, a border of one that is not counted."""
    sides = {name: _pair(getattr(module, name)) for name in ("kernel_size", "padding", "stride")}
    if sides["kernel_size"] != (3, 3) or sides["padding"] != (1, 1) or module.ceil_mode:
        return False
    if sides["stride"] not in ((1, 1), (2, 2)):
        return False
    if isinstance(module, nn.MaxPool2d):
        return _pair(module.dilation) == (1, 1) and not module.return_indices
    return not module.count_include_pad and module.divisor_override is None


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def pool(module: nn.MaxPool2d | nn.AvgPool2d, x: Tensor) -> Tensor:
    """Return what a 3×3 pooling with a border of one makes of x (n, channels, h, w).

    On a CPU by the kernels, elsewhere by torch.
    """
    if x.device.type != "cpu":
        by_torch: Tensor = module(x)
        return by_torch
    stride = module.stride if isinstance(module.stride, int) else module.stride[0]
    inputs = (in_channels_last(x), isinstance(module, nn.MaxPool2d), stride)
    out: Tensor = _Pool.apply(*inputs)  # type: ignore[no-untyped-call]
    return out


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, maximal: bool, stride: int) -> Tensor:
        out, which = torch.ops.tune_nas.pool_forward(x, maximal, stride)
        ctx.save_for_backward(x, which)
        ctx.maximal, ctx.stride = maximal, stride
        found: Tensor = out
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, which = ctx.saved_tensors
        gradient = in_channels_last(gradients[0])
        if torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            with torch.enable_grad():
                again = (
                    F.max_pool2d(x, 3, ctx.stride, 1)
                    if ctx.maximal
                    else F.avg_pool2d(x, 3, ctx.stride, 1, count_include_pad=False)
                )
            (back,) = torch.autograd.grad(again, x, gradient, create_graph=True)
        else:
            back = torch.ops.tune_nas.pool_backward(gradient, which, x.shape, ctx.stride)
        return back, None, None
