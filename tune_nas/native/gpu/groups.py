"""Stages of a mix that one launch can run: stages of the same kind from different chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tune_nas.native.chain import Stage
from tune_nas.native.mix_layout import Layout

Kind = tuple[int, *tuple[object, ...]]
"""What the stages of a group have in common, the depth first."""

_MOST = 30  # the kernels have a bit for each in an int32


@dataclass(frozen=True)
class Step:
    """A stage, its position in the mix, and the input that it starts from.

    Attributes:
        start: Index of the input; -1 for the output of the stage before it.
        origin: The input that its chain starts from.
        weights: Weights of the stage's convolutions, depthwise first.
        gain_and_bias: Learned parameters of the stage's normalization.
    """

    place: int
    start: int
    origin: int
    stage: Stage
    weights: list[Tensor]
    gain_and_bias: list[Tensor]


@dataclass
class Group:
    """Independent steps of the same kind, no two of which start from the same input.

    Attributes:
        size: (n, height, width) of their inputs.
    """

    size: tuple[int, int, int]
    by_batch: bool
    steps: list[Step] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        """A stage that represents all of them."""
        return self.steps[0].stage

    @property
    def first(self) -> bool:
        """Whether they start from inputs of the mix."""
        return self.steps[0].start >= 0

    @property
    def stride(self) -> int:
        """Their stride."""
        return self.stage.shape[2]

    @property
    def size_out(self) -> tuple[int, int, int]:
        """(n, height, width) of their outputs."""
        n, height, width = self.size
        return n, (height - 1) // self.stride + 1, (width - 1) // self.stride + 1

    def has_room_for(self, step: Step) -> bool:
        """Return whether a step can join; the gradients of one input are added one by one."""
        taken = {other.start for other in self.steps if other.start >= 0}
        return len(self.steps) < _MOST and step.start not in taken


def groups_of(layout: Layout, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Group]:
    """Return all stages of a mix, in an executable order."""
    left = iter(weights)
    open_groups: dict[Kind, list[Group]] = {}
    depth, origin, size = 0, 0, (0, 0, 0)
    for place, (stage, start) in enumerate(zip(layout.stages, layout.starts, strict=True)):
        if start >= 0:
            depth, origin = 0, start
            n, _, height, width = inputs[start].shape
            size = (n, height, width)
        own = [_packed(next(left)) for _ in stage.convolutions]
        learnt = [_packed(next(left)) for _ in stage.gain_and_bias]
        step, by_batch = Step(place, start, origin, stage, own, learnt), layout.by_batch[place]
        alike = open_groups.setdefault(_kind(step, depth, size, by_batch), [])
        if not alike or not alike[-1].has_room_for(step):
            alike.append(Group(size, by_batch))
        alike[-1].steps.append(step)
        depth, size = depth + 1, alike[-1].size_out
    ordered = sorted(open_groups.items(), key=lambda item: item[0][0])  # by depth
    return [group for _, groups in ordered for group in groups]


def _kind(step: Step, depth: int, size: tuple[int, int, int], by_batch: bool) -> Kind:
    norm = step.stage.norm
    laid_out = tuple((weight.shape, weight.stride()) for weight in step.weights)
    statistics = (by_batch, norm.track_running_stats, norm.momentum, norm.eps, norm.affine)
    return depth, size, step.stage.shape, laid_out, statistics


def _packed(weight: Tensor) -> Tensor:
    """Return a weight that is contiguous in either memory format."""
    packed = weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)
    return weight if packed else weight.contiguous()
