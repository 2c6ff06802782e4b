"""The gradients of a backward pass over a mix, from its sum to the inputs of its stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tune_nas.native.gpu.forward_launches import Run
from tune_nas.native.gpu.groups import Group, Step
from tune_nas.native.gpu.kernels import sums
from tune_nas.native.gpu.sizes import ROWS, blocks, new_maps, new_sums, side_by_side


class StageGradients:
    """The gradients of inputs and stages, as far as a backward pass has computed them.

    Attributes:
        run: The forward pass.
        g: Gradient of the mix, (n, channels, h, w).
        of_inputs: Gradients of the inputs; None for one that is not needed.
        begun: Positions of the inputs whose gradients have a first addend.
    """

    def __init__(self, run: Run, g: Tensor, wanted: Sequence[bool]) -> None:
        self.run, self.g = run, g
        self.of_inputs = [
            torch.empty_like(x) if wants else None
            for x, wants in zip(run.inputs, wanted, strict=True)
        ]
        self.begun: set[int] = set()
        self._of_outputs = dict.fromkeys(run.lasts, g)  # of normed outputs, by stage
        self._coefficients: dict[int, Tensor] = {}

    def finish_sums(
        self,
        partial: Tensor,
        programs: int,
        places: Sequence[int],
        n_terms: int = 0,
        scales: Tensor | None = None,
        of_scales: Tensor | None = None,
    ) -> None:
        """Store coefficients of the stages at the positions, from the sums of g and of g · y."""
        normals = tuple(self.run.normals[place] for place in places)
        n, channels = n_terms + len(places), self.g.shape[1]
        found = partial.new_empty(max(1, len(places)), 5, channels)
        sums.finish_sums[(n,)](
            partial, normals or (partial,), partial if scales is None else scales, found,
            partial if of_scales is None else of_scales, programs,
            N=n, N_TERMS=n_terms, C=channels, BC=blocks(channels)["BC"], ROWS=ROWS,
            SCALED=scales is not None, num_stages=1,
        )  # fmt: skip
        self._coefficients.update(zip(places, found.unbind(), strict=False))

    def of_gain_and_bias(self, place: int) -> list[Tensor]:
        """Return the gradients of the learned parameters of a stage's normalization."""
        if not self.run.layout.stages[place].norm.affine:
            return []
        return list(self._coefficients[place][3:].to(self.g.dtype).unbind())

    def is_wanted(self, step: Step) -> bool:
        """Return whether the gradient of the input that a stage's chain starts from is needed."""
        return self.of_inputs[step.origin] is not None

    def of_outputs(self, steps: Sequence[Step]) -> tuple[tuple[Tensor, ...], ...]:
        """Return the gradients of normed outputs, the outputs, and the coefficients of stages."""
        places = [step.place for step in steps]
        return (
            side_by_side(self._of_outputs[place] for place in places),
            side_by_side(self.run.ys[place] for place in places),
            side_by_side(self._coefficients[place] for place in places),
        )

    def targets(
        self, group: Group, steps: Sequence[Step], programs: int
    ) -> tuple[tuple[Tensor, ...], int, Tensor]:
        """Return the targets of gradients, which of them are added to, and space for their sums."""
        partial = new_sums(self.g, len(steps), 0 if group.first else programs)
        if not group.first:
            targets = new_maps(self.g, len(steps), group.size, self.g.shape[1])
            for step, target in zip(steps, targets, strict=True):
                self._of_outputs[step.place - 1] = target
            return side_by_side(targets), 0, partial
        adds = sum(1 << i for i, step in enumerate(steps) if step.start in self.begun)
        self.begun.update(step.start for step in steps)
        found = [self.of_inputs[step.start] for step in steps]
        return side_by_side(target for target in found if target is not None), adds, partial

    def hand_on(self, group: Group, steps: Sequence[Step], partial: Tensor, programs: int) -> None:
        """Store the coefficients of the stages before, from the sums that `targets` made."""
        if not group.first:
            self.finish_sums(partial, programs, [step.place - 1 for step in steps])
