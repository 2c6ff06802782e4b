"""Chains of convolutions and normalisations, as the kernels run them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from torch import Tensor, nn

from tune_nas.layers.normalization import is_plain_norm


@dataclass(frozen=True)
class Stage:
    """ReLU, a depthwise convolution if there is one, a dense one, batch normalisation."""

    depthwise: nn.Conv2d | None
    dense: nn.Conv2d
    norm: nn.BatchNorm2d

    @property
    def weights(self) -> list[Tensor]:
        """The weights that are learnt: those of the convolutions, then scale and shift."""
        return [*self.convolutions, *self.gain_and_bias]

    @property
    def convolutions(self) -> list[Tensor]:
        """The weights of the convolutions."""
        return [c.weight for c in (self.depthwise, self.dense) if c is not None]

    @property
    def gain_and_bias(self) -> list[Tensor]:
        """Scale and shift of the normalisation, where it learns them."""
        return [self.norm.weight, self.norm.bias] if self.norm.affine else []

    @cached_property
    def shape(self) -> tuple[bool, int, int]:
        """Whether it has a depthwise convolution, that one's dilation, its stride."""
        if self.depthwise is None:
            return False, 1, 1
        return True, self.depthwise.dilation[0], self.depthwise.stride[0]

    @cached_property
    def momentum_and_eps(self) -> tuple[float, float]:
        """Those of the normalisation."""
        return self.norm.momentum or 0.0, self.norm.eps

    @property
    def by_batch(self) -> bool:
        """Whether the statistics are those of the batch."""
        return self.norm.training or not self.norm.track_running_stats


def stages_of(operation: nn.Module) -> list[Stage] | None:
    """Return an operation as a chain of stages; None if it is anything else."""
    if not isinstance(operation, nn.Sequential):
        return None
    layers, stages = list(operation), []
    while layers:
        if not isinstance(layers.pop(0), nn.ReLU) or not layers:
            return None
        depthwise = layers.pop(0) if _is_depthwise(layers[0]) else None
        if len(layers) < 2 or not _is_dense(layers[0]) or not is_plain_norm(layers[1]):
            return None
        if depthwise is not None and cast(nn.Conv2d, layers[0]).kernel_size != (1, 1):
            return None
        stages.append(Stage(cast(Any, depthwise), *cast(Any, (layers.pop(0), layers.pop(0)))))
    return stages or None


def _is_depthwise(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == layer.in_channels == layer.out_channels > 1
        and layer.kernel_size in ((3, 3), (5, 5))
        and layer.stride in ((1, 1), (2, 2))
        and layer.dilation in ((1, 1), (2, 2))
        and _keeps_size(layer)
    )


def _is_dense(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == 1
        and layer.in_channels == layer.out_channels
        and layer.kernel_size in ((1, 1), (3, 3), (5, 5))
        and (layer.stride, layer.dilation, getattr(layer, "step", 1)) == ((1, 1), (1, 1), 1)
        and _keeps_size(layer)
    )


def _keeps_size(layer: nn.Conv2d) -> bool:
    border = layer.dilation[0] * (layer.kernel_size[0] // 2)
    return (
        layer.bias is None and layer.padding == (border, border) and layer.padding_mode == "zeros"
    )
