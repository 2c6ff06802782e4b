"""Batch normalization with an operation weight as its scale, or shared by several layers.

All functions give the results of ``torch.nn.BatchNorm2d`` and update its running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Callable[[int], nn.Module]
"""Creates the batch normalization for a number of channels, as used in the network."""


def is_plain_norm(module: nn.Module) -> bool:
    """Return whether a module is a batch normalization that these functions can replace."""
    return isinstance(module, nn.BatchNorm2d) and module.momentum is not None


def normalized(norm: nn.BatchNorm2d, x: Tensor, scale: Tensor) -> Tensor:
    """Return scale · norm(x), with the scale () merged into that of the normalization."""
    tracks = norm.track_running_stats
    if norm.training and tracks and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    mean, variance = (norm.running_mean, norm.running_var) if tracks else (None, None)
    # contiguous: an expanded weight gives wrong results in channels_last (torch 2.13, CPU)
    weight, bias = scaled([norm], scale.expand(norm.num_features).contiguous())
    return F.batch_norm(
        x,
        mean,
        variance,
        weight,
        bias,
        norm.training or not tracks,
        norm.momentum or 0.0,
        norm.eps,
    )


def scaled(norms: Sequence[nn.BatchNorm2d], scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one normalization that replaces several concatenated ones.

    Args:
        norms: All with learned scale and shift or all without.
        scale: Scale of the outputs of each, (channels of all,).
    """
    if not norms[0].affine:
        return scale, torch.zeros_like(scale)
    gain, bias = torch.cat([n.weight for n in norms]), torch.cat([n.bias for n in norms])
    return scale * gain, scale * bias


def normalized_once(norms: Sequence[nn.BatchNorm2d], x: Tensor) -> Tensor:
    """Return the output of each of the norms for x, computed once with the batch statistics.

    Args:
        norms: Without learned scale and shift; identical except for their running statistics, which
            are all updated in training mode.
        x: Their common input, (n, channels, h, w).
    """
    out, mean, inverse_std = torch.native_batch_norm(
        x, None, None, None, None, True, 0.0, norms[0].eps
    )
    keep_statistics(norms, mean, inverse_std, x.numel() // x.shape[1])
    return out


def keep_statistics(
    norms: Sequence[nn.BatchNorm2d], mean: Tensor, inverse_std: Tensor, count: int
) -> None:
    """Update the running statistics, in training mode and if there are any.

    Args:
        norms: Identical except for these statistics.
        mean: Mean of the batch, (channels,).
        inverse_std: Inverse standard deviation of the batch, including ε, (channels,).
        count: Number of values per channel.
    """
    if not norms[0].training or not norms[0].track_running_stats:
        return
    with torch.no_grad():
        variance = (inverse_std.square().reciprocal() - norms[0].eps) * (count / (count - 1))
        kept = norms[0].running_mean
        assert kept is not None
        mean, variance = mean.to(kept), variance.to(kept)
        for norm in norms:
            _update(norm, mean, variance)


def _update(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None and norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance, norm.momentum)
