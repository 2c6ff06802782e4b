"""The fast form with the kernels of `tune_nas.native`, where they can be had."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from tune_nas.native import (
    Stage,
    is_kernels_pool,
    kernels_for,
    mix_chains,
    mix_term,
    pool,
    stages_of,
)
from tune_nas.spaces.fast import FastCell, Pool, Source, Sum
from tune_nas.spaces.weights import CellWeights


class _NativeSum(Sum):
    def add(self, term: Tensor, scale: Tensor | None = None) -> None:
        """See `Sum.add`."""
        if scale is None or not kernels_for(term):
            super().add(term, scale)
        else:
            self.update(lambda so_far: mix_term(so_far, term, scale))


class _NativeSource(Source):
    def __init__(
        self,
        cell: FastCell,
        place: int,
        whole: Tensor,
        weights: CellWeights,
        active: list[list[bool]] | None,
    ) -> None:
        super().__init__(cell, place, whole, weights, active)
        assert isinstance(cell, NativeCell)
        self._chains = cell.chains
        self._native = kernels_for(self.part)
        if self._native:
            self.how = cell.rest
            self.part = self.part.contiguous(memory_format=torch.channels_last)

    def add_to(self, total: Sum, row: int, draws: torch.Generator | None, dropout: float) -> None:
        """See `Source.add_to`."""
        super().add_to(total, row, draws, dropout)
        if not self._native:
            return
        present = [
            (chain, self.scales[row][column])
            for column, chain in enumerate(self._chains[row])
            if chain and self.runs(row, column)
        ]
        if present:
            scales = torch.stack([scale for _, scale in present])
            chains = [chain for chain, _ in present]
            total.update(lambda so_far: mix_chains(so_far, self.part, chains, scales))

    def pool(self, module: Pool) -> Tensor:
        """See `Source.pool`."""
        if self._native and is_kernels_pool(module):
            return pool(module, self.part)
        return super().pool(module)


class NativeCell(FastCell):
    """`FastCell` whose convolutions and pools are run by compiled kernels on a CPU.

    Everything else, and all of it where there are no kernels for a device, a type or a number of
    channels, is run as there.
    """

    source_type: ClassVar[type[Source]] = _NativeSource
    sum_type: ClassVar[type[Sum]] = _NativeSum

    @cached_property
    def chains(self) -> list[list[list[Stage] | None]]:
        """Each operation of each edge as a chain of stages; None if it is none, or is not run."""
        return [
            [
                stages_of(operation) if how != "none" else None
                for operation, how in zip(self.operations_of(row), self.how[row], strict=True)
            ]
            for row in range(len(self.cell.edges))
        ]

    @cached_property
    def rest(self) -> list[list[str]]:
        """How each operation is run that is no chain."""
        return [
            ["none" if chain else how for chain, how in zip(chains, row, strict=True)]
            for chains, row in zip(self.chains, self.how, strict=True)
        ]
