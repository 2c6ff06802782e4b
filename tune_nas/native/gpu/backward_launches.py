"""The backward pass over a mix: the gradients of all addends, and the launches for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tune_nas.native.gpu.forward_launches import ADDENDS, Run
from tune_nas.native.gpu.groups import Group, Step
from tune_nas.native.gpu.kernels import backward, sums
from tune_nas.native.gpu.sizes import (
    ROWS,
    blocks,
    ceil_div,
    new_maps,
    new_sums,
    pixels_of,
    power_of_two,
    programs_for,
    side_by_side,
    strides_of,
    weights_of,
    window,
)
from tune_nas.native.gpu.stage_gradients import StageGradients


class BackwardLaunches:
    """The launches of one backward pass.

    Attributes:
        gradients: The gradients that it computes.
    """

    def __init__(self, run: Run, g: Tensor, wanted: Sequence[bool]) -> None:
        self.run, self.g = run, g
        self.gradients = StageGradients(run, g, wanted)

    def through_sum(self, terms: Sequence[Tensor], scales: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the gradients of the terms that are not inputs, and of the scales."""
        run, g = self.run, self.g
        own, targets, again = list[Tensor](), list[Tensor | None](), list[tuple[Tensor, Tensor]]()
        for i, (term, at) in enumerate(zip(terms, run.layout.term_inputs, strict=True)):
            target = self.gradients.of_inputs[at] if at >= 0 else None
            if at < 0:
                own.append(torch.empty_like(term))
                targets.append(own[-1])
            elif target is not None and at in self.gradients.begun:
                again.append((target, scales[i]))
                targets.append(None)
            else:
                self.gradients.begun.add(at)
                targets.append(target)
        of_scales = torch.empty_like(scales)
        addends = run.addends(terms)
        for first in range(0, len(addends), ADDENDS):
            part = slice(first, first + ADDENDS)
            self._dots(first, addends[part], targets[part], scales[part], of_scales[part])
        for target, scale in again:
            target.addcmul_(g, scale)
        return own, of_scales

    def _dots(
        self,
        first: int,
        addends: Sequence[Tensor],
        targets: Sequence[Tensor | None],
        scales: Tensor,
        of_scales: Tensor,
    ) -> None:
        run, g, n = self.run, self.g, len(addends)
        pixels, channels = g.numel() // g.shape[1], g.shape[1]
        programs = programs_for(pixels, channels, n)
        partial = new_sums(g, n, programs)
        n_terms, normals = run.normals_of(first, n, len(run.layout.term_inputs))
        writes = sum(1 << i for i, target in enumerate(targets) if target is not None)
        sums.dots[(programs, n)](
            g, tuple(addends), tuple(g if target is None else target for target in targets) or (g,),
            scales, partial, writes, pixels, N=n, N_TERMS=n_terms, **blocks(channels),
        )  # fmt: skip
        lasts = run.lasts[max(0, first - len(run.layout.term_inputs)) :][: len(normals)]
        self.gradients.finish_sums(partial, programs, lasts, n_terms, scales, of_scales)

    def through_stages(self, group: Group, of_weights: bool) -> dict[int, list[Tensor]]:
        """Propagate the gradients of a group's outputs; return those of the weights by stage."""
        steps = [step for step in group.steps if of_weights or self.gradients.is_wanted(step)]
        if not steps:
            return {}
        handed_on = [step for step in steps if step.start < 0 or self.gradients.is_wanted(step)]
        if group.stage.depthwise is None:
            found = self._dense_weights(group, steps) if of_weights else {}
            if handed_on:
                self._dense_input(group, handed_on)
            return found
        middles, found = self._separable_middle(group, steps, of_weights)
        if handed_on:
            self._separable_input(group, handed_on, middles)
        return found

    def _dense_weights(self, group: Group, steps: list[Step]) -> dict[int, list[Tensor]]:
        run, pixels, weight = self.run, pixels_of(group.size_out), steps[0].weights[-1]
        channels, kernel = weight.shape[0], weight.shape[2]
        programs = programs_for(pixels, channels, len(steps) * kernel**2)
        partial = weight.new_empty(len(steps), programs, weight.numel())
        strides = strides_of(steps)
        backward.dense_weights[(programs, kernel**2, len(steps))](
            *self.gradients.of_outputs(steps), run.xs(steps), run.before(steps), partial,
            pixels, *group.size[1:],
            N=power_of_two(len(steps)), **blocks(channels), KERNEL=kernel, BEFORE=not group.first,
            **{name: strides[name] for name in ("WO", "WI", "WT")},
        )  # fmt: skip
        return _of_weights(partial, steps)

    def _dense_input(self, group: Group, steps: list[Step]) -> None:
        run, pixels, weight = self.run, pixels_of(group.size), steps[0].weights[-1]
        channels, strides = weight.shape[0], strides_of(steps)
        programs = programs_for(pixels, channels, len(steps))
        targets, adds, partial = self.gradients.targets(group, steps, programs)
        backward.dense_input[(programs, len(steps))](
            *self.gradients.of_outputs(steps), run.xs(steps), run.before(steps),
            weights_of(steps)[1], targets, partial, adds, pixels, *group.size[1:],
            N=power_of_two(len(steps)), **blocks(channels), KERNEL=weight.shape[2],
            BEFORE=not group.first, **{name: strides[name] for name in ("WO", "WI", "WT")},
        )  # fmt: skip
        self.gradients.hand_on(group, steps, partial, programs)

    def _separable_middle(
        self, group: Group, steps: list[Step], of_weights: bool
    ) -> tuple[dict[int, Tensor], dict[int, list[Tensor]]]:
        run, pixels, weight = self.run, pixels_of(group.size_out), steps[0].weights[-1]
        channels, count = weight.shape[0], sum(w.numel() for w in steps[0].weights)
        programs = programs_for(pixels, channels, len(steps))
        middles = new_maps(weight, len(steps), group.size_out, channels)
        partial = weight.new_empty(len(steps), programs if of_weights else 0, count)
        strides, shape = strides_of(steps), window(group)
        backward.separable_middle[(programs, len(steps))](
            *self.gradients.of_outputs(steps), run.xs(steps), run.before(steps), *weights_of(steps),
            side_by_side(middles), partial, pixels, *group.size[1:], *group.size_out[1:],
            N=power_of_two(len(steps)), **blocks(channels), **shape, BEFORE=not group.first,
            TAPS=power_of_two(shape["KERNEL"] ** 2), OF_WEIGHTS=of_weights,
            **{name: strides[name] for name in ("DO", "DT", "WO", "WI")},
        )  # fmt: skip
        by_place = {step.place: middle for step, middle in zip(steps, middles, strict=True)}
        return by_place, _of_weights(partial, steps) if of_weights else {}

    def _separable_input(self, group: Group, steps: list[Step], middles: dict[int, Tensor]) -> None:
        run, pixels, strides = self.run, pixels_of(group.size), strides_of(steps)
        channels = steps[0].weights[-1].shape[0]
        programs = programs_for(pixels, channels, len(steps))
        targets, adds, partial = self.gradients.targets(group, steps, programs)
        backward.separable_input[(programs, len(steps))](
            side_by_side(middles[step.place] for step in steps), run.xs(steps), run.before(steps),
            weights_of(steps)[0], targets, partial, adds, pixels, *group.size[1:],
            *group.size_out[1:],
            N=power_of_two(len(steps)), **blocks(channels), **window(group), BEFORE=not group.first,
            **{name: strides[name] for name in ("DO", "DT")},
        )  # fmt: skip
        self.gradients.hand_on(group, steps, partial, programs)


def _of_weights(partial: Tensor, steps: Sequence[Step]) -> dict[int, list[Tensor]]:
    """Sum the gradients of the weights over programs; each is laid out as its weight."""
    n, programs, count = partial.shape
    out = partial.new_empty(n, count)
    sums.add_up[(ceil_div(count, 32), n)](
        partial, out, programs, COLUMNS=count, BLOCK=32, ROWS=ROWS, num_stages=1
    )
    found = {}
    for step, row in zip(steps, out.unbind(), strict=True):
        sizes = [weight.numel() for weight in reversed(step.weights)]  # the dense one is first
        parts = zip(torch.split(row, sizes), reversed(step.weights), strict=True)
        gradients = [part.as_strided(weight.shape, weight.stride()) for part, weight in parts]
        found[step.place] = gradients[::-1]
    return found
