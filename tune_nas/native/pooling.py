"""Pooling by the kernels, as in torch, and with the normalization that may follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.layers.normalization import keep_statistics, normalized_once
from tune_nas.layers.primitives import in_channels_last


def is_kernels_pool(module: nn.MaxPool2d | nn.AvgPool2d) -> bool:
    """Return whether the kernels support a pooling: 3×3, padding 1 that is not counted."""
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
    """Return the 3×3 pooling with padding 1 of x (n, channels, h, w).

    On a CPU by the kernels, elsewhere by torch.
    """
    if x.device.type != "cpu":
        by_torch: Tensor = module(x)
        return by_torch
    out: Tensor = _Pool.apply(in_channels_last(x), *_kind(module))  # type: ignore[no-untyped-call]
    return out


def normed_pool(
    module: nn.MaxPool2d | nn.AvgPool2d, norms: Sequence[nn.BatchNorm2d], x: Tensor
) -> Tensor:
    """Return such a pooling normalized by each of the norms, with the statistics of the batch.

    On a CPU by the kernels, elsewhere by torch; see `normalized_once`.
    """
    if x.device.type != "cpu":
        return normalized_once(norms, module(x))
    out, mean, inverse_std = _NormedPool.apply(  # type: ignore[no-untyped-call]
        in_channels_last(x), *_kind(module), norms[0].eps
    )
    keep_statistics(norms, mean, inverse_std, out.numel() // out.shape[1])
    normed: Tensor = out
    return normed


def _kind(module: nn.MaxPool2d | nn.AvgPool2d) -> tuple[bool, int]:
    stride = module.stride if isinstance(module.stride, int) else module.stride[0]
    return isinstance(module, nn.MaxPool2d), stride


def _by_torch(x: Tensor, maximal: bool, stride: int) -> Tensor:
    if maximal:
        return F.max_pool2d(x, 3, stride, 1)
    return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, maximal: bool, stride: int) -> Tensor:
        out, which = torch.ops.tune_nas.pool_forward(x, maximal, stride)
        ctx.save_for_backward(x, which)
        ctx.kind = maximal, stride
        found: Tensor = out
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, which = ctx.saved_tensors
        gradient = in_channels_last(gradients[0])
        if torch.is_grad_enabled():  # a gradient of this gradient will be requested
            with torch.enable_grad():
                again = _by_torch(x, *ctx.kind)
            (back,) = torch.autograd.grad(again, x, gradient, create_graph=True)
        else:
            back = torch.ops.tune_nas.pool_backward(gradient, which, x.shape, ctx.kind[1])
        return back, None, None


class _NormedPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, maximal: bool, stride: int, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, which, normal = torch.ops.tune_nas.normed_pool_forward(x, maximal, stride, eps)
        ctx.save_for_backward(x, out, which, normal)
        ctx.kind, ctx.eps = (maximal, stride), eps
        mean, inverse_std = normal[:2].unbind()
        ctx.mark_non_differentiable(mean, inverse_std)
        return out, mean, inverse_std

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        x, out, which, normal = ctx.saved_tensors
        gradient = in_channels_last(gradients[0])
        if torch.is_grad_enabled():  # a gradient of this gradient will be requested
            with torch.enable_grad():
                pooled = _by_torch(x, *ctx.kind)
                again = F.batch_norm(pooled, None, None, training=True, eps=ctx.eps)
            (back,) = torch.autograd.grad(again, x, gradient, create_graph=True)
        else:
            back = torch.ops.tune_nas.normed_pool_backward(
                gradient, out, which, normal, x.shape, ctx.kind[1]
            )
        return back, None, None, None
