"""Partial channel connections by the kernels of a CPU: splitting a node, and shuffling a new one.

The part is what goes through the operations of a node's edges, the rest is what bypasses them (Xu
et al., "PC-DARTS", ICLR 2020, arXiv:1907.05737). Both are written where they are needed, once:
torch concatenates, shuffles, and copies both again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tune_nas.layers.primitives import in_channels_last


def split_node(whole: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the first ``width`` channels of a node (n, channels, h, w), and the others.

    All three are multiples of 4; see `kernels_for`.
    """
    found: tuple[Tensor, Tensor] = _Split.apply(in_channels_last(whole), width)  # type: ignore[no-untyped-call]
    return found


def shuffled_node(through: Tensor, around: Tensor, groups: int, split: bool) -> list[Tensor]:
    """Return a node, the two concatenated and shuffled as by `torch.channel_shuffle`.

    Args:
        through: The sum of the operations, (n, channels / groups, h, w).
        around: The sum of what bypasses them, with the other channels.
        groups: The number of groups of the shuffle.
        split: Whether what `split_node` returns for the node follows it.
    """
    tensors = in_channels_last(through), in_channels_last(around)
    found: tuple[Tensor, ...] = _Node.apply(*tensors, groups, split)  # type: ignore[no-untyped-call]
    return list(found)


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor, width: int) -> tuple[Tensor, Tensor]:
        part, rest = torch.ops.tune_nas.partial_split(whole, width)
        return part, rest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if torch.is_grad_enabled():  # a gradient of this gradient will be requested
            return torch.cat(gradients, dim=1), None
        part, rest = map(in_channels_last, gradients)
        return torch.ops.tune_nas.partial_split_backward(part, rest), None


class _Node(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, through: Tensor, around: Tensor, groups: int, split: bool
    ) -> tuple[Tensor, ...]:
        ctx.groups = groups
        ctx.set_materialize_grads(False)
        return tuple(torch.ops.tune_nas.partial_node(through, around, split))

    @staticmethod
    def backward(
        ctx: Any, whole: Tensor | None, part: Tensor | None = None, rest: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        given = next((g for g in (whole, part, rest) if g is not None), None)
        if given is None:
            return None, None, None, None
        if part is None and rest is not None:
            part = rest.new_zeros(_of_channels(rest, rest.shape[1] // (ctx.groups - 1)))
        if rest is None and part is not None:
            rest = part.new_zeros(_of_channels(part, part.shape[1] * (ctx.groups - 1)))
        if torch.is_grad_enabled():  # a gradient of this gradient will be requested
            both = None if part is None or rest is None else torch.cat([part, rest], dim=1)
            g = both if whole is None else whole if both is None else whole + both
            assert g is not None
            width = g.shape[1] // ctx.groups
            through, around = torch.split(
                torch.channel_shuffle(g, width), [width, g.shape[1] - width], dim=1
            )
            return through, around, None, None
        if whole is not None and not _lies_by_pixel(whole):
            whole = in_channels_last(whole)
        if part is not None and rest is not None:
            part, rest = in_channels_last(part), in_channels_last(rest)
        through, around = torch.ops.tune_nas.partial_node_backward(whole, part, rest, ctx.groups)
        return through, around, None, None


def _of_channels(like: Tensor, channels: int) -> tuple[int, ...]:
    return like.shape[0], channels, *like.shape[2:]


def _lies_by_pixel(x: Tensor) -> bool:
    """Return whether x is in channels_last, or some of the channels of such a tensor."""
    _, _, height, width = x.shape
    images, channels, rows, pixels = x.stride()
    return (channels, rows, images) == (1, width * pixels, height * width * pixels)
