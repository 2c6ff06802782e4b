"""The fast implementation with the kernels of `tune_nas.native`, if available."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from tune_nas.layers.structure import Pool
from tune_nas.native import (
    Chain,
    Stage,
    Term,
    is_kernels_pool,
    kernels_for,
    mix,
    normed_pool,
    pool,
    shuffled_node,
    split_node,
    stages_of,
)
from tune_nas.spaces.fast import FastCell, Source, Sum


class _NativeSum(Sum):
    """Defers terms that the kernels can add, to compute a node in a single call."""

    def __init__(self) -> None:
        super().__init__()
        self.terms: list[Term] = []
        self.chains: list[Chain] = []

    def add(self, term: Tensor, scale: Tensor | None = None) -> None:
        """See `Sum.add`."""
        if scale is None or not kernels_for(term):
            super().add(term, scale)
        else:
            self.terms.append(Term(term, scale))

    def total(self, zeros: Callable[[], Tensor]) -> Tensor:
        """See `Sum.total`."""
        if self.terms or self.chains:
            self.update(lambda so_far: mix(so_far, self.terms, self.chains))
        return super().total(zeros)


class _NativeSource(Source):
    def __init__(
        self,
        cell: FastCell,
        place: int,
        whole: Tensor,
        halves: Sequence[Tensor] | None,
        scales: Sequence[Sequence[Tensor]],
        active: list[list[bool]] | None,
    ) -> None:
        super().__init__(cell, place, whole, halves, scales, active)
        assert isinstance(cell, NativeCell)
        self._chains = cell.chains
        self._native = kernels_for(self.part)
        if self._native:
            self.how = cell.rest
            self.part = self.part.contiguous(memory_format=torch.channels_last)
            if cell.groups > 1:
                self.rest = self.rest.contiguous(memory_format=torch.channels_last)

    def add_to(self, total: Sum, row: int, draws: torch.Generator | None, dropout: float) -> None:
        """See `Source.add_to`."""
        super().add_to(total, row, draws, dropout)
        if not self._native:
            return
        assert isinstance(total, _NativeSum)
        total.chains += [
            Chain(self.part, stages, self.scales[row][column])
            for column, stages in enumerate(self._chains[row])
            if stages and self.runs(row, column)
        ]

    def add_pool(self, total: Sum, row: int, column: int, scale: Tensor) -> None:
        """See `Source.add_pool`; if an edge runs nothing else, the output is not kept.

        This applies to sampled paths. Otherwise it is kept: pooling again costs more than it saves.
        """
        module = self.cell.pooling(row, column).pool
        all_that_runs = sum(self.runs(row, other) for other in range(len(self.how[row]))) == 1
        alone = all_that_runs and len(self.alike(row, column)) == 1
        if not (alone and self._native and is_kernels_pool(module)):
            super().add_pool(total, row, column, scale)
            return
        assert isinstance(total, _NativeSum)
        total.terms.append(Term(self.part, scale, module))

    def pool(self, module: Pool) -> Tensor:
        """See `Source.pool`."""
        if self._native and is_kernels_pool(module):
            return pool(module, self.part)
        return super().pool(module)

    def normed_pool(self, norms: Sequence[nn.BatchNorm2d], row: int, column: int) -> Tensor:
        """See `Source.normed_pool`."""
        module = self.cell.pooling(row, column).pool
        if self._native and is_kernels_pool(module):
            return normed_pool(module, norms, self.part)
        return super().normed_pool(norms, row, column)


class NativeCell(FastCell):
    """`FastCell` whose convolutions, and on a CPU also pooling, are run by custom kernels.

    Everything else runs as there; so does everything if there are no kernels for a device, type or
    number of channels.
    """

    source_type: ClassVar[type[Source]] = _NativeSource
    sum_type: ClassVar[type[Sum]] = _NativeSum

    def split(self, whole: Tensor) -> Sequence[Tensor]:
        """See `FastCell.split`."""
        if self._splits(whole):
            return split_node(whole, self.width)
        return super().split(whole)

    def shuffled(self, through: Tensor, around: Tensor, is_source: bool) -> Sequence[Tensor]:
        """See `FastCell.shuffled`."""
        if self._splits(around):
            return shuffled_node(through, around, self.groups, is_source)
        return super().shuffled(through, around, is_source)

    def _splits(self, x: Tensor) -> bool:
        return self.width % 4 == 0 and x.device.type == "cpu" and kernels_for(x)

    @cached_property
    def chains(self) -> list[list[list[Stage] | None]]:
        """Each operation of each edge as a chain of stages; None if it is not one or not run."""
        return [
            [
                stages_of(operation) if how != "none" else None
                for operation, how in zip(self.operations_of(row), self.how[row], strict=True)
            ]
            for row in range(len(self.cell.edges))
        ]

    @cached_property
    def rest(self) -> list[list[str]]:
        """How each operation that is not a chain is run."""
        return [
            ["none" if chain else how for chain, how in zip(chains, row, strict=True)]
            for chains, row in zip(self.chains, self.how, strict=True)
        ]
