"""Mixing weights: what a relaxation gives to a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from tune_nas.spaces.space import CellSpace


@dataclass(frozen=True)
class CellWeights:
    """The mixing weights of one type of cell.

    Args:
        operations: Operation weights (edges, n_operations); columns that an edge does not have
            are never read.
        edges: Optional edge weights (edges,); the sum over an edge's operations is scaled by it.
        active: Optional bool tensor (edges, n_operations) on the CPU: which operations need
            running at all. The others are not computed and their weights not read. None for all.
    """

    operations: Tensor
    edges: Tensor | None = None
    active: Tensor | None = None

    def check(self, cell: CellSpace, name: str) -> None:
        """Raise a ValueError if the shapes are not those of the cell."""
        shape = (len(cell.edges), cell.n_operations)
        if tuple(self.operations.shape) != shape:
            raise ValueError(
                f"operations of cell '{name}' has the shape {tuple(self.operations.shape)}, "
                f"but must have {shape}"
            )
        if self.edges is not None and tuple(self.edges.shape) != shape[:1]:
            raise ValueError(
                f"edges of cell '{name}' has the shape {tuple(self.edges.shape)}, "
                f"but must have {shape[:1]}"
            )
        if self.active is not None and tuple(self.active.shape) != shape:
            raise ValueError(
                f"active of cell '{name}' has the shape {tuple(self.active.shape)}, "
                f"but must have {shape}"
            )


MixingWeights = Mapping[str, CellWeights]
"""The weights of every cell type, by its name (``normal``, ``reduction``)."""
