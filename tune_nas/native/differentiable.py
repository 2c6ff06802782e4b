"""Batch normalization by torch's operations, where a gradient of the kernels is differentiated."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F


def normalized_by_torch(
    y: Tensor, norm: nn.BatchNorm2d, learnt: Iterator[Tensor], statistics: Tensor | None
) -> Tensor:
    """Return y (n, channels, h, w) after a normalization, as the kernels computed it.

    Args:
        y: Its input.
        norm: The normalization; its running statistics remain as they are.
        learnt: Yields its gain and bias next, each (channels,), if it has them.
        statistics: Mean and inverse standard deviation, then perhaps more, (2 or more, channels);
            None for those of the batch.
    """
    if statistics is None:
        y = F.batch_norm(y, None, None, training=True, eps=norm.eps)
    else:
        mean, inverse = statistics[:2].to(y.dtype)[..., None, None]
        y = (y - mean) * inverse
    if norm.affine:
        gain, bias = (next(learnt)[:, None, None] for _ in ("gain", "bias"))
        y = gain * y + bias
    return y
