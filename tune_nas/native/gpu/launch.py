"""What a mix asks of a device, by Triton. Importing this module imports triton.

No value is brought to the host: scales, statistics and coefficients stay on the device, so that the
launches can be recorded in a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tune_nas.native.gpu.groups import groups_of
from tune_nas.native.gpu.run import Run
from tune_nas.native.gpu.way_back import WayBack

if TYPE_CHECKING:
    from tune_nas.native.mix import Layout


class TritonKernels:
    """What `tune_nas.native.mix` asks of a device, by Triton; see `MixKernels` there."""

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
        with _on_device_of(scales):
            groups = groups_of(layout, inputs, weights)
            run = Run(layout, inputs)
            for group in groups:
                run.stages_forward(group)
            out = torch.empty_like(run.addends(terms)[0]) if total is None else total
            run.add_all(out, total is not None, terms, scales)
            kept = [t for y, normal in zip(run.ys, run.normals, strict=True) for t in (y, normal)]
            return out, kept, None

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
    ) -> tuple[list[Tensor], list[Tensor | None], list[Tensor], Tensor]:
        """See `MixKernels.mix_backward`."""
        with _on_device_of(g):
            run = Run(layout, inputs, kept)
            way = WayBack(run, g, wanted)
            of_own, of_scales = way.through_sum(terms, scales)
            found: dict[int, list[Tensor]] = {}
            for group in reversed(groups_of(layout, inputs, weights)):
                found.update(way.through_stages(group, of_weights))
            of_all = [
                gradient
                for place in sorted(found)
                for gradient in (*found[place], *way.of_gain_and_bias(place))
            ]
            return of_own, way.of_inputs, of_all, of_scales


def _on_device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    """Launches go to the current device; a tensor of a CPU is the interpreter's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
