"""The Triton implementation of a mix. Importing this module imports triton.

No value is copied to the host: scales, statistics and coefficients stay on the device, so that the
launches can be recorded in a graph.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from tune_nas.native.gpu.backward_launches import BackwardLaunches
from tune_nas.native.gpu.forward_launches import Run
from tune_nas.native.gpu.groups import groups_of
from tune_nas.native.mix_layout import MixGradient, MixTensors


class TritonKernels:
    """The Triton implementation of `MixKernels` in `backend`."""

    def mix_forward(
        self, total: Tensor | None, mix: MixTensors
    ) -> tuple[Tensor, list[Tensor], object]:
        """See `MixKernels.mix_forward`."""
        with _on_device_of(mix.scales):
            groups = groups_of(mix.layout, mix.inputs, mix.weights)
            run = Run(mix.layout, mix.inputs)
            for group in groups:
                run.stages_forward(group)
            out = torch.empty_like(run.addends(mix.terms)[0]) if total is None else total
            run.add_all(out, total is not None, mix.terms, mix.scales)
            kept = [t for y, normal in zip(run.ys, run.normals, strict=True) for t in (y, normal)]
            return out, kept, None

    def mix_backward(
        self, mix: MixTensors, gradient: MixGradient
    ) -> tuple[list[Tensor], list[Tensor | None], list[Tensor], Tensor]:
        """See `MixKernels.mix_backward`."""
        with _on_device_of(gradient.g):
            run = Run(mix.layout, mix.inputs, gradient.kept)
            way = BackwardLaunches(run, gradient.g, gradient.wanted)
            of_own, of_scales = way.through_sum(mix.terms, mix.scales)
            found: dict[int, list[Tensor]] = {}
            for group in reversed(groups_of(mix.layout, mix.inputs, mix.weights)):
                found.update(way.through_stages(group, gradient.of_weights))
            of_all = [
                of_weight
                for place in sorted(found)
                for of_weight in (*found[place], *way.gradients.of_gain_and_bias(place))
            ]
            return of_own, way.gradients.of_inputs, of_all, of_scales


def _on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Launches go to the current device; a tensor of a CPU is the interpreter's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
