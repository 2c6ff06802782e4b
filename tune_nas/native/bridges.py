"""The bridges of cells by the kernels of a CPU: 1 × 1 convolutions of what earlier cells return.

All bridges from one place are one autograd function: ReLU is applied once, and their gradients are
added while they are in the cache. What they read is a list of tensors, parts along the channels, so
that the output of a cell is never concatenated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.layers.normalization import is_plain_norm
from tune_nas.layers.primitives import FactorizedReduce, in_channels_last, quarters
from tune_nas.layers.structure import Convolutions, structure_of
from tune_nas.native.differentiable import normalized_by_torch


class BridgeNumber(IntEnum):
    """Indices of a bridge's numbers for the compiled kernels, as in ``kernels/bridges.cpp``.

    Attributes:
        HALVES: Whether it is two convolutions of stride 2 side by side.
        AFFINE: Whether its normalization learns gain and bias.
        BY_BATCH: Whether its normalization uses the statistics of the batch.
        TRACKS: Whether its normalization has running statistics.
    """

    HALVES = 0
    AFFINE = 1
    BY_BATCH = 2
    TRACKS = 3


@dataclass(frozen=True)
class Bridge:
    """ReLU, a pointwise convolution, batch normalization.

    Args:
        convolutions: The convolution; two for the halves of a factorized reduction.
        norm: The normalization.
    """

    convolutions: tuple[nn.Conv2d, ...]
    norm: nn.BatchNorm2d

    @property
    def weights(self) -> list[Tensor]:
        """The learned weights: those of the convolutions, then gain and bias."""
        norm = [self.norm.weight, self.norm.bias] if self.norm.affine else []
        return [*(convolution.weight for convolution in self.convolutions), *norm]

    @property
    def by_batch(self) -> bool:
        """Whether batch statistics are used."""
        return self.norm.training or not self.norm.track_running_stats

    @property
    def numbers(self) -> list[int]:
        """Its numbers for the compiled kernels, one per `BridgeNumber`."""
        own = [0] * len(BridgeNumber)
        own[BridgeNumber.HALVES] = len(self.convolutions) == 2
        own[BridgeNumber.AFFINE] = self.norm.affine
        own[BridgeNumber.BY_BATCH] = self.by_batch
        own[BridgeNumber.TRACKS] = self.norm.track_running_stats
        return own


def bridge_of(module: nn.Module) -> Bridge | None:
    """Return a module as a bridge that the kernels run; None if it is not one."""
    if isinstance(module, FactorizedReduce):
        if not isinstance(module.norm, nn.BatchNorm2d):
            return None
        bridge = Bridge((module.straight, module.shifted), module.norm)
    else:
        structure = structure_of(module)
        if not isinstance(structure, Convolutions) or len(structure.stages) != 1:
            return None
        (stage,) = structure.stages
        if stage.depthwise is not None or getattr(stage.dense, "step", 1) != 1:
            return None
        bridge = Bridge((stage.dense,), stage.norm)
    return bridge if is_plain_norm(bridge.norm) and all(map(_is_run, bridge.convolutions)) else None


def _is_run(layer: nn.Conv2d) -> bool:
    return (
        layer.kernel_size == layer.stride == layer.dilation == (1, 1)
        and layer.padding == (0, 0)
        and layer.groups == 1
        and layer.bias is None
        and layer.in_channels % 4 == layer.out_channels % 4 == 0
    )


def bridges(parts: Sequence[Tensor], over: Sequence[Bridge]) -> list[Tensor]:
    """Return the outputs of bridges from one place.

    If their gradient is to be differentiated again, it is computed by torch's operations.

    Args:
        parts: What each of them reads, side by side along the channels: (n, channels, h, w) each,
            with kernels for them (`kernels_for`).
        over: The bridges, at least one.
    """
    parts = [in_channels_last(part) for part in parts]
    weights = [weight for bridge in over for weight in bridge.weights]
    if not (torch.is_grad_enabled() or any(bridge.by_batch for bridge in over)):
        evaluated: list[Tensor] = torch.ops.tune_nas.bridges_evaluate(
            parts, weights, *_arguments(over)
        )
        return evaluated
    found: tuple[Tensor, ...] = _Bridges.apply(over, len(parts), *parts, *weights)  # type: ignore[no-untyped-call]
    return list(found)


def _arguments(over: Sequence[Bridge]) -> tuple[list[Tensor | None], list[int], list[float]]:
    norms = [bridge.norm for bridge in over]
    statistics = [
        statistic
        for norm in norms
        if norm.track_running_stats
        for statistic in (norm.running_mean, norm.running_var, norm.num_batches_tracked)
    ]
    numbers = [number for bridge in over for number in bridge.numbers]
    return statistics, numbers, [x for norm in norms for x in (norm.momentum or 0.0, norm.eps)]


class _Bridges(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, over: Sequence[Bridge], n_parts: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        statistics, numbers, others = _arguments(over)
        outputs, kept = torch.ops.tune_nas.bridges_forward(
            tensors[:n_parts], tensors[n_parts:], statistics, numbers, others
        )
        ctx.save_for_backward(*tensors, *kept)
        ctx.over, ctx.numbers, ctx.n_parts, ctx.n_tensors = over, numbers, n_parts, len(tensors)
        ctx.by_batch = [bridge.by_batch for bridge in over]
        ctx.shapes = [output.shape for output in outputs]
        ctx.set_materialize_grads(False)  # without gradient, an output's weights have none either
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[object, ...]:
        if all(gradient is None for gradient in gradients):
            return None, None, *[None] * ctx.n_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient will be requested
            tensors, kept = ctx.saved_tensors[: ctx.n_tensors], ctx.saved_tensors[ctx.n_tensors :]
            found = _differentiable(ctx.over, ctx.by_batch, gradients, tensors, ctx.n_parts, kept)
            return None, None, *found
        parts = ctx.saved_tensors[: ctx.n_parts]
        weights = ctx.saved_tensors[ctx.n_parts : ctx.n_tensors]
        of_parts = any(ctx.needs_input_grad[2 : 2 + ctx.n_parts])
        given = [
            parts[0].new_zeros(shape) if gradient is None else gradient
            for gradient, shape in zip(gradients, ctx.shapes, strict=True)
        ]
        found, of_weights = torch.ops.tune_nas.bridges_backward(
            [in_channels_last(gradient) for gradient in given],
            parts,
            weights,
            ctx.saved_tensors[ctx.n_tensors :],
            ctx.numbers,
            of_parts,
        )
        unused = [
            gradient is None
            for bridge, gradient in zip(ctx.over, gradients, strict=True)
            for _ in bridge.weights
        ]
        left = (None if none else own for none, own in zip(unused, of_weights, strict=True))
        return None, None, *(found or [None] * ctx.n_parts), *left


def _differentiable(
    over: Sequence[Bridge],
    by_batch: Sequence[bool],
    gradients: Sequence[Tensor | None],
    tensors: Sequence[Tensor],
    n_parts: int,
    kept: Sequence[Tensor],
) -> Iterator[Tensor | None]:
    """Return the gradients of parts and weights, as functions of all of them and of `gradients`."""
    tensors = [tensor.view_as(tensor) for tensor in tensors]  # see `mix`
    x, left = F.relu(torch.cat(tensors[:n_parts], dim=1)), iter(tensors[n_parts:])
    outputs = []
    for k, bridge in enumerate(over):
        inputs = quarters(x) if len(bridge.convolutions) == 2 else (x,)
        y = torch.cat([F.conv2d(each, next(left)) for each in inputs], dim=1)
        statistics = None if by_batch[k] else kept[2 * k + 1]
        outputs.append(normalized_by_torch(y, bridge.norm, left, statistics))
    asked = [tensor for tensor in tensors if tensor.requires_grad]
    used = [pair for pair in zip(outputs, gradients, strict=True) if pair[1] is not None]
    roots = [output for output, _ in used], asked, [gradient for _, gradient in used]
    found = iter(torch.autograd.grad(*roots, create_graph=True, allow_unused=True))
    return (next(found) if tensor.requires_grad else None for tensor in tensors)
