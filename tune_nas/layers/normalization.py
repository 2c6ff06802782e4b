"""Batch normalisation taken apart: with an operation weight as its scale, once for several layers.

All give what ``torch.nn.BatchNorm2d`` gives, and keep its running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Callable[[int], nn.Module]
"""Makes the batch normalization for a number of channels, as the network at hand has it."""


def is_plain_norm(module: nn.Module) -> bool:
    """Whether a module is a batch normalisation that the functions here can stand for."""
    return isinstance(module, nn.BatchNorm2d) and module.momentum is not None


def normalised(norm: nn.BatchNorm2d, x: Tensor, scale: Tensor) -> Tensor:
    """Return scale · norm(x), the scale () as a part of that of the normalisation itself."""
    tracks = norm.track_running_stats
    if norm.training and tracks and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    # contiguous: an expanded weight gives wrong results in channels_last (torch 2.13, CPU)
    weight, bias = scaled([norm], scale.expand(norm.num_features).contiguous())
    return F.batch_norm(
        x,
        norm.running_mean,
        norm.running_var,
        weight,
        bias,
        norm.training or not tracks,
        norm.momentum or 0.0,
        norm.eps,
    )


def scaled(norms: Sequence[nn.BatchNorm2d], scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one normalisation that stands for several, side by side.

    Args:
        norms: All with learnt scale and shift or all without.
        scale: By what the outputs of each are scaled, (channels of all,).
    """
    if not norms[0].affine:
        return scale, torch.zeros_like(scale)
    gain, bias = torch.cat([n.weight for n in norms]), torch.cat([n.bias for n in norms])
    return scale * gain, scale * bias


def normalised_once(norms: Sequence[nn.BatchNorm2d], x: Tensor) -> Tensor:
    """Return what each of the norms makes of x with the statistics of the batch.

    Args:
        norms: Without learnt scale and shift; alike but for their running statistics, which are
            all updated in training mode.
        x: Their input, (n, channels, h, w).
    """
    out, mean, inverse_std = torch.native_batch_norm(
        x, None, None, None, None, True, 0.0, norms[0].eps
    )
    keep_statistics(norms, mean, inverse_std, x.numel() // x.shape[1])
    return out


def keep_statistics(
    norms: Sequence[nn.BatchNorm2d], mean: Tensor, inverse_std: Tensor, count: int
) -> None:
    """Let the running statistics follow, in training mode and where there are any.

    Args:
        norms: Alike but for those statistics.
        mean: That of the batch, (channels,).
        inverse_std: One over its deviation, ε included, (channels,).
        count: Of how many values they are.
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
