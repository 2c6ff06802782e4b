"""Chains of convolutions and normalisations by the kernels, mixed into a sum.

The sum Σ wᵢ · chainᵢ(x) is one function with a backward pass of its own: a normalisation's scale
and shift, forwards, and what it does to a gradient, backwards, go into the stage that follows. Of
each stage its output is kept, and nothing else of that size. Where a gradient is to be
differentiated again, the chains are run by torch's operations instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.native.term import in_channels_last
from tune_nas.spaces.normalisation import is_plain_norm


@dataclass(frozen=True)
class Stage:
    """ReLU, a depthwise convolution if there is one, a dense one, batch normalisation."""

    depthwise: nn.Conv2d | None
    dense: nn.Conv2d
    norm: nn.BatchNorm2d

    @property
    def weights(self) -> list[Tensor]:
        """The weights that are learnt."""
        return [c.weight for c in (self.depthwise, self.dense) if c is not None]

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


def mix_chains(
    total: Tensor | None, x: Tensor, chains: Sequence[Sequence[Stage]], scales: Tensor
) -> Tensor:
    """Add Σ scales[i] · chains[i](x) to ``total``, in place, and return it; None starts at zero.

    Args:
        total: (n, channels, h, w) of the chains' outputs; it must not be needed for a gradient.
        x: Their input, (n, channels, h, w).
        chains: At least one chain of at least one stage each.
        scales: The weight of each, (n_chains,).
    """
    weights = [weight for chain in chains for stage in chain for weight in stage.weights]
    total = None if total is None else in_channels_last(total)
    inputs = (total, in_channels_last(x), chains, scales, *weights)
    out: Tensor = _MixedChains.apply(*inputs)  # type: ignore[no-untyped-call]
    return out


class _MixedChains(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        total: Tensor | None,
        x: Tensor,
        chains: Sequence[Sequence[Stage]],
        scales: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        kernels = torch.ops.tune_nas
        left, kept, out = iter(weights), list[Tensor](), total
        ctx.scales = scales.tolist()
        for chain, scale in zip(chains, ctx.scales, strict=True):
            y, normal = x, None
            for stage in chain:
                y, normal = kernels.stage_forward(
                    y, normal, *_convolutions(stage, left), *_statistics(stage)
                )
                kept += [y, normal]
            if out is None:
                out = torch.empty_like(y)
                kernels.add_normal(out, y, normal, scale, False)
            else:
                kernels.add_normal(out, y, normal, scale, True)
        assert out is not None
        if total is not None:
            ctx.mark_dirty(total)
        ctx.chains, ctx.mixes, ctx.n_weights = chains, total is not None, len(weights)
        ctx.by_batch = [[stage.by_batch for stage in chain] for chain in chains]
        ctx.save_for_backward(x, scales, *weights, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        g = in_channels_last(gradients[0])
        x, scales, *rest = ctx.saved_tensors
        weights, kept = rest[: ctx.n_weights], rest[ctx.n_weights :]
        of_total = g if ctx.mixes else None
        if torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            found = _differentiable(ctx, g, x, scales, weights, kept)
            return of_total, found[0], None, *found[1:]
        kernels, of_weights = torch.ops.tune_nas, any(ctx.needs_input_grad[4:])
        gx, of_scales, of_all = torch.empty_like(x), [], list[Tensor | None]()
        left, of_stages, begun = iter(weights), iter(_of_stages(kept)), False
        for chain, by_batch, scale in zip(ctx.chains, ctx.by_batch, ctx.scales, strict=True):
            convolutions = [_convolutions(stage, left) for stage in chain]
            saved = [next(of_stages) for _ in chain]
            flow, sums, of_chain = g, kernels.dots(g, saved[-1][0]), list[Tensor | None]()
            for k in reversed(range(len(chain))):
                last, first = k == len(chain) - 1, k == 0
                source = (x, None) if first else saved[k - 1]
                into = gx if first else torch.empty_like(source[0])
                of_depthwise, of_dense, sums_before, of_scale = kernels.stage_backward(
                    flow,
                    sums,
                    *saved[k],
                    scale if last else 1.0,
                    by_batch[k],
                    *source,
                    *convolutions[k],
                    of_weights,
                    into,
                    first and begun,
                )
                if last:
                    of_scales.append(of_scale)
                begun = begun or first
                found = [of_depthwise, of_dense] if chain[k].depthwise else [of_dense]
                of_chain = [*(found if of_weights else [None] * len(found)), *of_chain]
                flow, sums = into, sums_before
            of_all += of_chain
        return of_total, gx, None, scales.new_tensor(of_scales), *of_all


def _differentiable(
    ctx: Any,
    g: Tensor,
    x: Tensor,
    scales: Tensor,
    weights: Sequence[Tensor],
    kept: Sequence[Tensor],
) -> list[Tensor | None]:
    """Return the gradients of x, the scales and the weights, as functions of all of them and g."""
    left, of_stages = iter(weights), iter(_of_stages(kept))
    terms = []
    for chain, by_batch, scale in zip(ctx.chains, ctx.by_batch, scales.unbind(), strict=True):
        y = x
        for stage, batch in zip(chain, by_batch, strict=True):
            y, (_, normal) = F.relu(y), next(of_stages)
            if stage.depthwise is not None:
                c = stage.depthwise
                y = F.conv2d(y, next(left), None, c.stride, c.padding, c.dilation, c.groups)
            y = F.conv2d(y, next(left), padding=stage.dense.padding)
            if batch:
                y = F.batch_norm(y, None, None, training=True, eps=stage.norm.eps)
            else:
                mean, inverse = normal.to(y.dtype)[..., None, None]
                y = (y - mean) * inverse
        terms.append(scale * y)
    inputs = (x, scales, *weights)
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    found = iter(torch.autograd.grad(torch.stack(terms).sum(0), wanted, g, create_graph=True))
    return [next(found) if tensor.requires_grad else None for tensor in inputs]


def _of_stages(kept: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Return what was kept of each stage: y, and the mean and inverse of its normalisation."""
    return [kept[place : place + 2] for place in range(0, len(kept), 2)]


def _convolutions(stage: Stage, left: Iterator[Tensor]) -> tuple[Tensor | None, Tensor, int, int]:
    """Take a stage's depthwise and dense weights; return them with its dilation and stride."""
    depthwise = stage.depthwise
    if depthwise is None:
        return None, next(left), 1, 1
    return next(left), next(left), depthwise.dilation[0], depthwise.stride[0]


def _statistics(stage: Stage) -> tuple[Tensor | None, Tensor | None, bool, float, float]:
    """Return how a stage is normalised, and count the batch in training mode."""
    norm = stage.norm
    moves = stage.by_batch and norm.track_running_stats
    if moves and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    momentum = (norm.momentum or 0.0) if moves else 0.0
    return norm.running_mean, norm.running_var, stage.by_batch, momentum, norm.eps


def _is_depthwise(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == layer.in_channels == layer.out_channels > 1
        and layer.kernel_size in ((3, 3), (5, 5))
        and layer.stride in ((1, 1), (2, 2))
        and layer.dilation[0] == layer.dilation[1]
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
