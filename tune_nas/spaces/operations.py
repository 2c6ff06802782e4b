"""The operations of the built-in spaces, with their published names.

Sources: quark0/darts ``cnn/operations.py`` (Liu et al., DARTS, arXiv:1806.09055; the first eight);
D-X-Y/AutoDL-Projects ``cell_operations.py`` (Dong and Yang, NAS-Bench-201, arXiv:2001.00326;
``nor_conv_*``; the other three equal those of DARTS at stride 1); RobustDARTS's space S4 (Zela et
al., arXiv:1909.09656; ``noise``). The batch normalization after pooling is added by DARTS's
supernet and is not part of the operation.
"""

from __future__ import annotations

from torch import nn

from tune_nas.layers.primitives import (
    FactorizedReduce,
    Noise,
    Zero,
    dilated_conv,
    relu_conv_norm,
    separable_conv,
)
from tune_nas.spaces.operation_registry import Norm, of_kind


@of_kind("none")
def none(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return the zero operation."""
    return Zero(stride)


@of_kind("pool")
def max_pool_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return 3×3 max pooling."""
    return nn.MaxPool2d(3, stride=stride, padding=1)


@of_kind("pool")
def avg_pool_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return 3×3 average pooling over the pixels inside the map."""
    return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)


@of_kind("skip")
def skip_connect(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return the identity, or a factorized reduction at stride 2."""
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, norm)


@of_kind("convolution")
def sep_conv_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return a 3×3 separable convolution, applied twice."""
    return separable_conv(channels, 3, stride, norm)


@of_kind("convolution")
def sep_conv_5x5(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return a 5×5 separable convolution, applied twice."""
    return separable_conv(channels, 5, stride, norm)


@of_kind("convolution")
def dil_conv_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return a 3×3 separable convolution with dilation 2 (receptive field 5×5)."""
    return dilated_conv(channels, 3, stride, norm)


@of_kind("convolution")
def dil_conv_5x5(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return a 5×5 separable convolution with dilation 2 (receptive field 9×9)."""
    return dilated_conv(channels, 5, stride, norm)


@of_kind("convolution")
def nor_conv_1x1(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return ReLU, a 1×1 convolution, normalization."""
    return relu_conv_norm(channels, channels, 1, stride, norm)


@of_kind("convolution")
def nor_conv_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return ReLU, a 3×3 convolution, normalization."""
    return relu_conv_norm(channels, channels, 3, stride, norm)


@of_kind("noise")
def noise(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return standard normal noise for any input."""
    return Noise(stride)
