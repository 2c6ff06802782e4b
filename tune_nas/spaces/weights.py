"""Mixing weights: what a relaxation gives to a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
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
        offsets: Optional (edges,); a number that is added to the sum over an edge's operations.
            Where one drawn operation runs it is 0 and carries the gradient of the others (GDAS).
    """

    operations: Tensor
    edges: Tensor | None = None
    active: Tensor | None = None
    offsets: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return by field all but ``active``, which is no part of what is computed with."""
        fields = {"operations": self.operations, "edges": self.edges, "offsets": self.offsets}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}

    def running(self) -> tuple[tuple[bool, ...], ...] | None:
        """Return ``active`` as tuples, to be compared; None for all."""
        return None if self.active is None else tuple(map(tuple, self.active.tolist()))

    def check(self, cell: CellSpace, name: str) -> None:
        """Raise a ValueError if a shape is not that of the cell, or ``active`` no CPU mask."""
        shape = (len(cell.edges), cell.n_operations)
        wanted = {"operations": shape, "edges": shape[:1], "active": shape, "offsets": shape[:1]}
        for field, size in wanted.items():
            tensor = getattr(self, field)
            if tensor is not None and tuple(tensor.shape) != size:
                raise ValueError(
                    f"{field} of cell '{name}' has the shape {tuple(tensor.shape)}, "
                    f"but must have {size}"
                )
        if self.active is not None and (
            self.active.dtype != torch.bool or self.active.device.type != "cpu"
        ):
            raise ValueError(
                f"active of cell '{name}' is {self.active.dtype} on {self.active.device}, "
                "but must be torch.bool on the CPU"
            )


MixingWeights = Mapping[str, CellWeights]
"""The weights of every cell type, by its name (``normal``, ``reduction``)."""
