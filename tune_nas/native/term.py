"""A tensor times a number, added to a sum by the kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def mix_term(total: Tensor | None, term: Tensor, scale: Tensor) -> Tensor:
    """Add scale · term to ``total``, in place, and return it; None starts at zero.

    Args:
        total: (n, channels, h, w); it must not be needed for a gradient.
        term: Of the same shape.
        scale: ().
    """
    total = None if total is None else in_channels_last(total)
    out: Tensor = _MixedTerm.apply(total, in_channels_last(term), scale)  # type: ignore[no-untyped-call]
    return out


def in_channels_last(x: Tensor) -> Tensor:
    """Return a tensor as the kernels read it."""
    return x.contiguous(memory_format=torch.channels_last)


class _MixedTerm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, total: Tensor | None, term: Tensor, scale: Tensor) -> Tensor:
        ctx.mixes, ctx.scale = total is not None, scale.item()
        out = torch.empty_like(term) if total is None else total
        torch.ops.tune_nas.add_term(out, term, ctx.scale, ctx.mixes)
        if total is not None:
            ctx.mark_dirty(total)
        ctx.save_for_backward(term, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        g = in_channels_last(gradients[0])
        term, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            return g if ctx.mixes else None, scale * g, (g * term).sum()
        of_term, of_scale = torch.ops.tune_nas.term_backward(g, term, ctx.scale)
        return g if ctx.mixes else None, of_term, scale.new_tensor(of_scale)
