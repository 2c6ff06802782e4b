"""The sum in a node, computed by the kernels: Σ scaleᵢ · termᵢ + Σ scaleⱼ · chainⱼ(xⱼ).

The whole sum is one autograd function: in the forward pass, the scale and shift of a normalization
are folded into the stage that follows, and so is its effect on a gradient in the backward pass.
Of each stage only the output is kept, and nothing else of that size. If a gradient is to be
differentiated again, the chains are run by torch's operations instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.layers.primitives import add, in_channels_last
from tune_nas.native.backend import CpuKernels, MixKernels, mix_kernels
from tune_nas.native.chain import Stage
from tune_nas.native.differentiable import normalized_by_torch
from tune_nas.native.mix_layout import Layout, MixGradient, MixTensors


class Term(NamedTuple):
    """scale · value, or scale · pooling(value), with shapes (n, channels, h, w) and ().

    The output of a pooling is recomputed in the backward pass, and not kept.
    """

    value: Tensor
    scale: Tensor
    pooling: nn.MaxPool2d | nn.AvgPool2d | None = None


class Chain(NamedTuple):
    """scale · factors · (the stages applied to x one after the other): (n, channels, h, w), and ().

    The factors (n,) are constants, one for each image; None for 1. They are for a CPU only.
    """

    x: Tensor
    stages: Sequence[Stage]
    scale: Tensor
    factors: Tensor | None = None


def mix(
    total: Tensor | None,
    terms: Sequence[Term],
    chains: Sequence[Chain],
    kernels: MixKernels | None = None,
) -> Tensor:
    """Add terms and chains, at least one of them, to ``total`` in place, and return it.

    Args:
        total: (n, channels, h, w); it must not be needed for a gradient. None starts at zero.
        terms: Terms of that shape, after pooling.
        chains: Chains whose output has that shape; at least one stage each.
        kernels: Kernels to use; None for the kernels of the device.
    """
    values = [in_channels_last(term.value) for term in terms]
    inputs, places = list[Tensor](), dict[int, int]()
    for chain in chains:
        if id(chain.x) not in places:
            places[id(chain.x)] = len(inputs)
            inputs.append(in_channels_last(chain.x))
    layout = Layout(
        stages=[stage for chain in chains for stage in chain.stages],
        starts=[
            place if first else -1
            for chain, place in ((chain, places[id(chain.x)]) for chain in chains)
            for first in (True, *[False] * (len(chain.stages) - 1))
        ],
        term_inputs=[
            -1 if term.pooling is not None else places.get(id(term.value), -1) for term in terms
        ],
        poolings=[term.pooling for term in terms],
        n_inputs=len(inputs),
        factors=[chain.factors for chain in chains],
    )
    given = [*(term.scale for term in terms), *(chain.scale for chain in chains)]
    same = all(scale is given[0] for scale in given)
    scales = given[0].expand(len(given)) if same else torch.stack(given)
    own = [value for value, at in zip(values, layout.term_inputs, strict=True) if at < 0]
    total = None if total is None else in_channels_last(total)
    kernels = kernels or mix_kernels(scales.device)
    if isinstance(kernels, CpuKernels) and layout.evaluates and not torch.is_grad_enabled():
        terms_ = layout.terms(layout.pooled(own), inputs)
        return kernels.mix_evaluate(
            total, MixTensors(layout, scales, terms_, inputs, layout.weights)
        )
    tensors = (*own, *inputs, *layout.weights)
    out: Tensor = _Mix.apply(total, layout, kernels, scales, *tensors)  # type: ignore[no-untyped-call]
    return out


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        total: Tensor | None,
        layout: Layout,
        kernels: MixKernels,
        scales: Tensor,
        *tensors: Tensor,
    ) -> Tensor:
        own, inputs, weights = layout.split(tensors)
        ctx.layout, ctx.kernels, ctx.mixes = layout, kernels, total is not None
        terms = layout.terms(layout.pooled(own), inputs)
        out, kept, ctx.state = kernels.mix_forward(
            total, MixTensors(layout, scales, terms, inputs, weights)
        )
        if total is not None:
            ctx.mark_dirty(total)
            out = total
        ctx.save_for_backward(scales, *tensors, *kept)
        ctx.n_tensors = len(tensors)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[object, ...]:
        g, layout = in_channels_last(gradients[0]), ctx.layout
        scales, *rest = ctx.saved_tensors
        tensors, kept = rest[: ctx.n_tensors], rest[ctx.n_tensors :]
        of_total = g if ctx.mixes else None
        if torch.is_grad_enabled():  # a gradient of this gradient will be requested
            return of_total, None, None, *_differentiable(layout, g, scales, tensors, kept)
        own, inputs, weights = layout.split(tensors)
        _, wanted, learnt = layout.split(ctx.needs_input_grad[4:])
        leaves = pooled = own
        if layout.pools:
            with torch.enable_grad():
                leaves = [x.detach().requires_grad_() for x in own]
                pooled = layout.pooled(leaves)
        of_own, of_inputs, of_weights, of_scales = ctx.kernels.mix_backward(
            MixTensors(layout, scales, layout.terms(pooled, inputs), inputs, weights),
            MixGradient(g, ctx.state, kept, wanted, any(learnt), ctx.needs_input_grad[3]),
        )
        if layout.pools:
            of_own = [
                gradient if x is leaf else torch.autograd.grad(x, leaf, gradient)[0]
                for x, leaf, gradient in zip(pooled, leaves, of_own, strict=True)
            ]
        found = (*of_own, *of_inputs, *(of_weights or [None] * len(weights)))
        return of_total, None, None, of_scales, *found


def _differentiable(
    layout: Layout, g: Tensor, scales: Tensor, tensors: Sequence[Tensor], kept: Sequence[Tensor]
) -> Iterator[Tensor | None]:
    """Return the gradients of scales and tensors, as functions of all of them and of g."""
    # views: one may have been computed from another, and that path is not part of this function
    scales, *tensors = (tensor.view_as(tensor) for tensor in (scales, *tensors))
    own, inputs, weights = layout.split(tensors)
    left, ends, y = iter(weights), list[Tensor](), g
    factors = iter(layout.factors)
    for k, (stage, start) in enumerate(zip(layout.stages, layout.starts, strict=True)):
        if start >= 0 and k > 0:
            ends.append(_by_image(y, next(factors)))
        y = F.relu(inputs[start] if start >= 0 else y)
        if stage.depthwise is not None:
            c = stage.depthwise
            y = F.conv2d(y, next(left), None, c.stride, c.padding, c.dilation, c.groups)
        y = F.conv2d(y, next(left), padding=stage.dense.padding)
        statistics = None if layout.by_batch[k] else kept[2 * k + 1]
        y = normalized_by_torch(y, stage.norm, left, statistics)
    addends = [*layout.terms(layout.pooled(own), inputs), *ends]
    if layout.stages:
        addends.append(_by_image(y, next(factors)))
    scaled = [scale * addend for scale, addend in zip(scales.unbind(), addends, strict=True)]
    everything = (scales, *tensors)
    asked = [tensor for tensor in everything if tensor.requires_grad]
    found = iter(torch.autograd.grad(add(scaled), asked, g, create_graph=True))
    return (next(found) if tensor.requires_grad else None for tensor in everything)


def _by_image(y: Tensor, factors: Tensor | None) -> Tensor:
    return y if factors is None else y * factors[:, None, None, None]
