"""What computes a mix: compiled kernels on a CPU, Triton's on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tune_nas.native.mix import Layout


class MixKernels(Protocol):
    """The two passes over a mix, of tensors in channels_last."""

    def mix_forward(
        self,
        total: Tensor | None,
        layout: Layout,
        scales: Tensor,
        terms: Sequence[Tensor],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor], Any]:
        """Add all to ``total`` in place; the running statistics follow.

        Returns:
            The sum; of each stage its output and its mean and inverse deviation (2 or more,
            channels) in float64; and what else the way back is to be given.
        """
        ...

    def mix_backward(
        self,
        g: Tensor,
        layout: Layout,
        state: Any,
        scales: Tensor,
        terms: Sequence[Tensor],
        inputs: Sequence[Tensor],
        wanted: Sequence[bool],
        weights: Sequence[Tensor],
        kept: Sequence[Tensor],
        of_weights: bool,
    ) -> tuple[Sequence[Tensor], Sequence[Tensor | None], Sequence[Tensor], Tensor]:
        """Return gradients, where ``g`` is that of the sum.

        Args:
            g: (n, channels, h, w).
            layout: As on the way there, like the tensors.
            state: What the way there has returned last.
            scales: One for each term and chain.
            terms: Their values.
            inputs: What the chains start from.
            wanted: Of which inputs the gradient is asked for.
            weights: Of all stages.
            kept: What the way there has kept.
            of_weights: Whether those of the weights are asked for.

        Returns:
            The gradients of the terms that are no inputs, of the inputs, of the weights (none
            without ``of_weights``) and of the scales.
        """
        ...


class CpuKernels:
    """The compiled kernels of a CPU; `tune_nas.native.build` must have found them."""

    def mix_forward(
        self,
        total: Tensor | None,
        layout: Layout,
        scales: Tensor,
        terms: Sequence[Tensor],
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor], Any]:
        """See `MixKernels.mix_forward`."""
        numbers, factors = layout.numbers_of_stages(), scales.tolist()
        out, kept = torch.ops.tune_nas.mix_forward(
            total,
            terms,
            inputs,
            weights,
            [
                statistic
                for norm in (stage.norm for stage in layout.stages)
                if norm.track_running_stats
                for statistic in (norm.running_mean, norm.running_var, norm.num_batches_tracked)
            ],
            numbers,
            [number for stage in layout.stages for number in stage.momentum_and_eps],
            factors,
        )
        return out, kept, (numbers, factors)

    def mix_backward(
        self,
        g: Tensor,
        layout: Layout,
        state: Any,
        scales: Tensor,
        terms: Sequence[Tensor],
        inputs: Sequence[Tensor],
        wanted: Sequence[bool],
        weights: Sequence[Tensor],
        kept: Sequence[Tensor],
        of_weights: bool,
    ) -> tuple[Sequence[Tensor], Sequence[Tensor | None], Sequence[Tensor], Tensor]:
        """See `MixKernels.mix_backward`."""
        *found, of_scales = torch.ops.tune_nas.mix_backward(
            g, terms, layout.term_inputs, inputs, wanted, weights, kept, *state, of_weights
        )
        of_terms, of_inputs, of_all = found
        return of_terms, of_inputs, of_all, scales.new_tensor(of_scales)


def in_channels_last(x: Tensor) -> Tensor:
    """Return a tensor as the kernels read it."""
    return x.contiguous(memory_format=torch.channels_last)


def mix_kernels(device: torch.device) -> MixKernels:
    """Return the kernels of a device; `kernels_for` must have said that there are some."""
    if device.type == "cpu":
        return CpuKernels()
    from tune_nas.native.gpu.launch import TritonKernels  # it imports triton

    return TritonKernels()
