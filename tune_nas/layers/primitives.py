"""The modules of operations and skeletons.

Sources: quark0/darts ``cnn/operations.py`` (Liu et al., DARTS, arXiv:1806.09055) and, for the
padding at odd sizes and the residual block, D-X-Y/AutoDL-Projects ``cell_operations.py`` (Dong and
Yang, NAS-Bench-201, arXiv:2001.00326). Reimplemented. ReLU never works in place, since a node's
tensor feeds several operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.layers.normalization import Norm
from tune_nas.layers.structure import ConvolutionStages, Stage


class PointwiseConv(nn.Conv2d):
    """A 1×1 convolution without bias; at stride 2 it takes every other pixel first.

    Equivalent to a strided convolution. torch 2.13's CPU kernel for a strided 1×1 convolution in
    channels_last writes out of bounds at 2 to 6 channels.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, 1, bias=False)
        self.step = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, ceil(h / stride), ceil(w / stride))."""
        if self.step > 1:
            x = x[:, :, :: self.step, :: self.step]
        return super().forward(x)


def relu_conv_norm(
    channels_in: int, channels_out: int, kernel: int, stride: int, norm: Norm
) -> ConvolutionStages:
    """Return ReLU, a convolution without bias, batch normalization."""
    convolution = (
        PointwiseConv(channels_in, channels_out, stride)
        if kernel == 1
        else nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    )
    return ConvolutionStages(_stage(None, convolution, norm(channels_out)))


def dilated_conv(channels: int, kernel: int, stride: int, norm: Norm) -> ConvolutionStages:
    """Return ReLU, a depthwise convolution of dilation 2, a pointwise one, normalization."""
    return ConvolutionStages(_separable(channels, kernel, stride, 2, norm))


def separable_conv(channels: int, kernel: int, stride: int, norm: Norm) -> ConvolutionStages:
    """Return ReLU, depthwise, pointwise, normalization, twice; only the first has the stride."""
    return ConvolutionStages(
        _separable(channels, kernel, stride, 1, norm), _separable(channels, kernel, 1, 1, norm)
    )


def _separable(channels: int, kernel: int, stride: int, dilation: int, norm: Norm) -> Stage:
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(
        channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
    )
    return _stage(depthwise, PointwiseConv(channels, channels), norm(channels))


def _stage(depthwise: nn.Conv2d | None, dense: nn.Conv2d, norm: nn.Module) -> Stage:
    # any kind of normalization; readers of stages check whether it is a plain one
    return Stage(depthwise, dense, cast(nn.BatchNorm2d, norm))


def zeros_after(x: Tensor, stride: int) -> Tensor:
    """Return zeros with the output shape of an operation of this stride on ``x``."""
    return torch.zeros_like(x[:, :, ::stride, ::stride])


def in_channels_last(x: Tensor) -> Tensor:
    """Return a tensor (n, channels, h, w) in channels_last; the same object if it already is."""
    return x.contiguous(memory_format=torch.channels_last)


def add(terms: Sequence[Tensor]) -> Tensor:
    """Return the sum of at least one tensor, added from left to right."""
    return reduce(torch.add, terms)


class Zero(nn.Module):
    """The operation ``none``: zeros for any input."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to zeros of (n, c, ceil(h / stride), ceil(w / stride))."""
        return zeros_after(x, self.stride)


class Noise(nn.Module):
    """The operation ``noise``: standard normal noise for any input.

    Zela et al., "Understanding and Robustifying Differentiable Architecture Search", ICLR 2020,
    arXiv:1909.09656, space S4.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor, draws: torch.Generator | None = None) -> Tensor:
        """Map (n, c, h, w) to noise of (n, c, ceil(h / stride), ceil(w / stride)).

        Args:
            x: Input, which determines the type and shape of the noise.
            draws: Generator, on any device; None for torch's global generator.
        """
        shape = x[:, :, :: self.stride, :: self.stride].shape
        device = x.device if draws is None else draws.device
        return torch.randn(shape, generator=draws, device=device, dtype=x.dtype).to(x.device)


def run_operation(
    operation: nn.Module, x: Tensor, draws: torch.Generator | None, skip_dropout: float = 0.0
) -> Tensor:
    """Return the output of an operation for ``x`` (n, c, h, w).

    Args:
        operation: A built operation.
        x: Its input.
        draws: Generator of noise and dropout, on any device; None for torch's global generator.
        skip_dropout: Probability of dropping a value if the operation is an identity.
    """
    out: Tensor = operation(x, draws) if isinstance(operation, Noise) else operation(x)
    if skip_dropout > 0 and isinstance(operation, nn.Identity):
        device = x.device if draws is None else draws.device
        kept = torch.rand(x.shape, generator=draws, device=device) >= skip_dropout
        out = out * kept.to(x.device, x.dtype) / (1.0 - skip_dropout)
    return out


class FactorizedReduce(nn.Module):
    """Halve the map: two concatenated pointwise convolutions of stride 2, one shifted by a pixel.

    Odd sides are zero-padded for the shifted one, so that any size works.
    """

    def __init__(self, channels_in: int, channels_out: int, norm: Norm) -> None:
        super().__init__()
        half = channels_out // 2
        self.straight = PointwiseConv(channels_in, half, stride=2)
        self.shifted = PointwiseConv(channels_in, channels_out - half, stride=2)
        self.norm = norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, ceil(h / 2), ceil(w / 2))."""
        return self.after_relu(F.relu(x))

    def after_relu(self, x: Tensor) -> Tensor:
        """Return the output for an input to which ReLU was already applied."""
        height, width = x.shape[2:]
        shifted = F.pad(x, (0, width % 2, 0, height % 2))[:, :, 1:, 1:]
        out: Tensor = self.norm(torch.cat([self.straight(x), self.shifted(shifted)], dim=1))
        return out


def quarters(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return every other pixel of x (n, c, h, w), from (0, 0) and from (1, 1) on.

    Both are (n, c, ceil(h / 2), ceil(w / 2)), as a `FactorizedReduce` reads them.
    """
    height, width = x.shape[2:]
    shifted = F.pad(x, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else x
    return x[:, :, ::2, ::2], shifted[:, :, 1::2, 1::2]


def after_relu(operation: nn.Module, x: Tensor) -> Tensor:
    """Return the output of an operation that starts with ReLU for x (n, c, h, w) after ReLU."""
    if isinstance(operation, FactorizedReduce | ConvolutionStages):
        return operation.after_relu(x)
    out: Tensor = operation(x)  # another ReLU changes nothing
    return out


class ResidualReduction(nn.Module):
    """NAS-Bench-201's block between stages: a basic ResNet block of stride 2.

    The shortcut is an average pooling and a pointwise convolution. Odd sides are rounded up in
    both branches.
    """

    def __init__(self, channels_in: int, channels_out: int, norm: Norm) -> None:
        super().__init__()
        self.first = relu_conv_norm(channels_in, channels_out, 3, 2, norm)
        self.second = relu_conv_norm(channels_out, channels_out, 3, 1, norm)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True),
            PointwiseConv(channels_in, channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels_out, ceil(h / 2), ceil(w / 2))."""
        out: Tensor = self.shortcut(x) + self.second(self.first(x))
        return out
