"""The relations between the tensors of a mix, and the arguments of both of its passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tune_nas.native.chain import Stage
from tune_nas.native.pooling import pool

T = TypeVar("T")


class StageNumber(IntEnum):
    """Indices of a stage's numbers for the compiled kernels, as in ``kernels/stage.h``.

    Attributes:
        START: The input that it starts from; -1 for the output of the stage before it.
        DEPTHWISE: Whether it has a depthwise convolution.
        DILATION: Dilation of the depthwise convolution.
        STRIDE: Stride of the depthwise convolution.
        AFFINE: Whether its normalization learns gain and bias.
        BY_BATCH: Whether its normalization uses the statistics of the batch.
        TRACKS: Whether its normalization has running statistics.
    """

    START = 0
    DEPTHWISE = 1
    DILATION = 2
    STRIDE = 3
    AFFINE = 4
    BY_BATCH = 5
    TRACKS = 6


class Layout:
    """The relations between the tensors of a mix.

    Args:
        stages: The stages of all chains, one after the other.
        starts: The input that each of them starts from; -1 for the output of the stage before it.
        term_inputs: The input that each term is; -1 for a separate value.
        poolings: The pooling of each term.
        n_inputs: Number of inputs of the chains.
        factors: The factors (n,) of the images for each chain; None for 1.
    """

    def __init__(
        self,
        stages: list[Stage],
        starts: list[int],
        term_inputs: list[int],
        poolings: list[nn.MaxPool2d | nn.AvgPool2d | None],
        n_inputs: int,
        factors: Sequence[Tensor | None] = (),
    ) -> None:
        self.stages, self.starts, self.term_inputs = stages, starts, term_inputs
        self.poolings = [p for p, at in zip(poolings, term_inputs, strict=True) if at < 0]
        self.pools = any(pooling is not None for pooling in self.poolings)
        self.n_own = term_inputs.count(-1)
        self.n_inputs = n_inputs
        self.factors = factors
        self.weights = [weight for stage in stages for weight in stage.weights]
        self.by_batch = [stage.by_batch for stage in stages]  # recorded for the backward pass

    def numbers_of_stages(self) -> list[int]:
        """Return the numbers of each stage for the compiled kernels: one per `StageNumber`."""
        numbers: list[int] = []
        for stage, start, by_batch in zip(self.stages, self.starts, self.by_batch, strict=True):
            own = [0] * len(StageNumber)
            own[StageNumber.START] = start
            own[StageNumber.DEPTHWISE], own[StageNumber.DILATION], own[StageNumber.STRIDE] = (
                stage.shape
            )
            own[StageNumber.AFFINE] = stage.norm.affine
            own[StageNumber.BY_BATCH] = by_batch
            own[StageNumber.TRACKS] = stage.norm.track_running_stats
            numbers += own
        return numbers

    @property
    def evaluates(self) -> bool:
        """Whether it has chains, all of them with running statistics and without factors."""
        return (
            bool(self.stages)
            and not any(self.by_batch)
            and all(stage.norm.track_running_stats for stage in self.stages)
            and all(factors is None for factors in self.factors)
        )

    def factors_of_images(self) -> list[Tensor]:
        """Return the factors of the images for each chain, empty for 1; no tensor if all are 1."""
        if all(factors is None for factors in self.factors):
            return []
        return [torch.empty(0) if factors is None else factors for factors in self.factors]

    def terms(self, own: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the value of each term: an input, or one of the separate values after pooling."""
        left = iter(own)
        return [next(left) if at < 0 else inputs[at] for at in self.term_inputs]

    def pooled(self, own: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the terms' separate values, pooled if a term requires it."""
        if not self.pools:
            return own
        return [x if p is None else pool(p, x) for p, x in zip(self.poolings, own, strict=True)]

    def split(self, tensors: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
        """Split tensors into the terms' separate values, the inputs, and the weights."""
        end = self.n_own + self.n_inputs
        return tensors[: self.n_own], tensors[self.n_own : end], tensors[end:]


@dataclass(slots=True)
class MixTensors:
    """The arguments of both passes over a mix; all tensors are in channels_last.

    Args:
        layout: Their relations.
        scales: One for each term and chain, (terms + chains,).
        terms: The values of the terms, each (n, channels, h, w).
        inputs: Inputs of the chains, likewise.
        weights: The weights of all stages.
    """

    layout: Layout
    scales: Tensor
    terms: Sequence[Tensor]
    inputs: Sequence[Tensor]
    weights: Sequence[Tensor]


@dataclass(slots=True)
class MixGradient:
    """Further arguments of the backward pass over a mix.

    Args:
        g: The gradient of the sum, (n, channels, h, w).
        state: The last value that the forward pass returned.
        kept: The tensors that the forward pass kept.
        wanted: For each input, whether its gradient is needed.
        of_weights: Whether the gradients of the weights are needed.
        of_scales: Whether the gradients of the scales are needed.
    """

    g: Tensor
    state: Any
    kept: Sequence[Tensor]
    wanted: Sequence[bool]
    of_weights: bool
    of_scales: bool
