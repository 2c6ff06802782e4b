"""The forward pass over a mix: its tensors and its launches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tune_nas.native.gpu.groups import Group, Step
from tune_nas.native.gpu.kernels import forward
from tune_nas.native.gpu.sizes import (
    ROWS,
    blocks,
    ceil_div,
    learnt,
    new_maps,
    new_sums,
    pixels_of,
    power_of_two,
    programs_for,
    running,
    side_by_side,
    strides_of,
    weights_of,
    window,
)
from tune_nas.native.mix_layout import Layout

ADDENDS = 12  # of a launch: with more, registers spill; a multiple of 4, for their scales' places


class Run:
    """The tensors of one pass over a mix, by the positions of its stages.

    Attributes:
        ys: The outputs of the stages.
        normals: The kernels' `normal` of each output.
        lasts: The positions of the stages that end a chain.
    """

    def __init__(
        self, layout: Layout, inputs: Sequence[Tensor], kept: Sequence[Tensor] | None = None
    ) -> None:
        n = len(layout.stages)
        self.layout, self.inputs = layout, inputs
        self.lasts = [k for k in range(n) if k + 1 == n or layout.starts[k + 1] >= 0]
        if kept is not None:
            self.ys, self.normals = list(kept[::2]), list(kept[1::2])
            return
        self.ys = [torch.empty(0)] * n
        self.normals = []
        if n > 0:
            shape = (n, 5, inputs[0].shape[1])
            self.normals = list(
                torch.empty(shape, dtype=torch.float64, device=inputs[0].device).unbind()
            )

    def x(self, step: Step) -> Tensor:
        """Return the input of a stage, before the normalization in between."""
        return self.inputs[step.start] if step.start >= 0 else self.ys[step.place - 1]

    def xs(self, steps: Sequence[Step]) -> tuple[Tensor, ...]:
        """Return the inputs of several stages."""
        return side_by_side(self.x(step) for step in steps)

    def before(self, steps: Sequence[Step]) -> tuple[Tensor, ...]:
        """Return the normals before the stages; if there are none, unread placeholders."""
        if steps[0].start >= 0:
            return self.xs(steps)
        return side_by_side(self.normals[step.place - 1] for step in steps)

    def addends(self, terms: Sequence[Tensor]) -> list[Tensor]:
        """Return the addends: terms first, then the ends of the chains."""
        return [*terms, *(self.ys[place] for place in self.lasts)]

    def stages_forward(self, group: Group) -> None:
        """Compute the outputs and the normals of a group."""
        steps, stage = group.steps, group.stage
        x, norm = self.x(steps[0]), stage.norm
        channels, pixels = x.shape[1], pixels_of(group.size_out)
        programs = programs_for(pixels, channels, len(steps))
        y = new_maps(x, len(steps), group.size_out, channels)
        for step, found in zip(steps, y, strict=True):
            self.ys[step.place] = found
        partial = new_sums(x, len(steps), programs if group.by_batch else 0)
        forward.stage_forward[(programs, len(steps))](
            self.xs(steps), self.before(steps), *weights_of(steps), y[0], partial,
            pixels, *group.size[1:], *group.size_out[1:],
            N=power_of_two(len(steps)), **blocks(channels), **window(group), **strides_of(steps),
            SEPARABLE=stage.depthwise is not None, BEFORE=not group.first,
            BY_BATCH=group.by_batch,
        )  # fmt: skip
        normals = side_by_side(self.normals[step.place] for step in steps)
        forward.finish_norm[(ceil_div(channels, 4), len(steps))](
            partial, normals, *running(steps, normals), *learnt(steps, normals), programs, pixels,
            N=power_of_two(len(steps)), C=channels, BLOCK=4, ROWS=ROWS,
            MOMENTUM=norm.momentum or 0.0, EPS=norm.eps, BY_BATCH=group.by_batch,
            TRACKS=norm.track_running_stats, AFFINE=norm.affine, num_stages=1,
        )  # fmt: skip

    def add_all(self, out: Tensor, begun: bool, terms: Sequence[Tensor], scales: Tensor) -> None:
        """Add all addends to the sum, or start the sum with them."""
        pixels, channels = out.numel() // out.shape[1], out.shape[1]
        addends = self.addends(terms)
        for first in range(0, len(addends), ADDENDS):
            part = tuple(addends[first : first + ADDENDS])
            n_terms, normals = self.normals_of(first, len(part), len(terms))
            forward.add_all[(ceil_div(pixels, blocks(channels)["BP"]),)](
                out, part, normals or part, scales[first:], pixels,
                N=len(part), N_TERMS=n_terms, BEGUN=begun or first > 0, **blocks(channels),
            )  # fmt: skip

    def normals_of(self, first: int, n: int, n_terms: int) -> tuple[int, tuple[Tensor, ...]]:
        """Return the number of terms among n addends, and the normals of the others."""
        from_, to = max(0, first - n_terms), max(0, first + n - n_terms)
        normals = tuple(self.normals[place] for place in self.lasts[from_:to])
        return n - len(normals), normals
