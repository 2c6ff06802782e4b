"""Implementations of a mix: compiled kernels on a CPU, Triton kernels on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from tune_nas.native.mix_layout import MixGradient, MixTensors
from tune_nas.stability import experimental

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
"""Largest distance of a GPU's result from the truth, relative to its norm: more than rounding."""


class MixKernels(Protocol):
    """The two passes over a mix."""

    def mix_forward(
        self, total: Tensor | None, mix: MixTensors
    ) -> tuple[Tensor, list[Tensor], Any]:
        """Add all terms and chains to ``total`` in place; running statistics are updated.

        Returns:
            The sum; for each stage its output and its mean and inverse deviation (2 or more,
            channels) in float64; and a state for the backward pass.
        """
        ...

    def mix_backward(
        self, mix: MixTensors, gradient: MixGradient
    ) -> tuple[Sequence[Tensor], Sequence[Tensor | None], Sequence[Tensor], Tensor]:
        """Return the gradients of a mix.

        Args:
            mix: As in the forward pass.
            gradient: The gradient of the sum, and which gradients are needed.

        Returns:
            The gradients of the terms that are not inputs, of the inputs, of the weights (none
            without ``of_weights``) and of the scales.
        """
        ...


class CpuKernels:
    """The compiled kernels of a CPU; `tune_nas.native.build` must have loaded them."""

    def mix_forward(
        self, total: Tensor | None, mix: MixTensors
    ) -> tuple[Tensor, list[Tensor], Any]:
        """See `MixKernels.mix_forward`."""
        arguments = _arguments(mix)
        out, kept = torch.ops.tune_nas.mix_forward(
            total, *arguments, mix.layout.factors_of_images()
        )
        return out, kept, (arguments[4], arguments[6])

    def mix_evaluate(self, total: Tensor | None, mix: MixTensors) -> Tensor:
        """Return the sum of a mix that `Layout.evaluates`; no output of a stage is kept."""
        out: Tensor = torch.ops.tune_nas.mix_evaluate(total, *_arguments(mix))
        return out

    def mix_backward(
        self, mix: MixTensors, gradient: MixGradient
    ) -> tuple[Sequence[Tensor], Sequence[Tensor | None], Sequence[Tensor], Tensor]:
        """See `MixKernels.mix_backward`."""
        of_terms, of_inputs, of_all, of_scales = torch.ops.tune_nas.mix_backward(
            gradient.g,
            mix.terms,
            mix.layout.term_inputs,
            mix.inputs,
            gradient.wanted,
            mix.weights,
            gradient.kept,
            *gradient.state,
            gradient.of_weights,
            mix.layout.factors_of_images(),
            gradient.of_scales,
        )
        return of_terms, of_inputs, of_all, mix.scales.new_tensor(of_scales)


def _arguments(mix: MixTensors) -> tuple[Any, ...]:
    """Return the arguments of both passes forward."""
    stages = mix.layout.stages
    return (
        mix.terms,
        mix.inputs,
        mix.weights,
        [
            statistic
            for norm in (stage.norm for stage in stages)
            if norm.track_running_stats
            for statistic in (norm.running_mean, norm.running_var, norm.num_batches_tracked)
        ],
        mix.layout.numbers_of_stages(),
        [number for stage in stages for number in stage.momentum_and_eps],
        mix.scales.tolist(),
    )


def mix_kernels(device: torch.device) -> MixKernels:
    """Return the kernels of a device; `kernels_for` must have returned True."""
    if device.type == "cpu":
        return CpuKernels()
    return triton_kernels()


@experimental("Triton kernels", "not yet run on a GPU")
def triton_kernels() -> MixKernels:
    """Return the kernels of a GPU; `kernels_for` must have returned True."""
    from tune_nas.native.gpu.launch import TritonKernels  # it imports triton

    return TritonKernels()
