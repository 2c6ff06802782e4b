"""Mixing weights: the output of a relaxation and input of a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tune_nas.spaces.space import CellSpace


@dataclass(frozen=True)
class CellWeights:
    """The mixing weights of one type of cell.

    Args:
        operations: Operation weights (edges, n_operations); columns of operations that an edge does
            not have are never read.
        edges: Optional edge weights (edges,); scale of the sum over an edge's operations.
        active: Optional bool tensor (edges, n_operations) on the CPU: the operations to run. The
            others are not computed and their weights not read. None for all.
        offsets: Optional (edges,); scalar added to the sum over an edge's operations. If one
            sampled operation is run, it is 0 and carries the gradient of the others (GDAS).
    """

    operations: Tensor
    edges: Tensor | None = None
    active: Tensor | None = None
    offsets: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by field, except ``active``, which is not used in computations."""
        fields = {"operations": self.operations, "edges": self.edges, "offsets": self.offsets}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}

    def detached(self) -> CellWeights:
        """Return the same weights as constants, without gradients."""
        return replace(self, **{name: each.detach() for name, each in self.tensors().items()})

    def running(self) -> tuple[tuple[bool, ...], ...] | None:
        """Return ``active`` as tuples, for comparison; None for all."""
        return None if self.active is None else tuple(map(tuple, self.active.tolist()))

    def check(self, cell: CellSpace, name: str) -> None:
        """Raise a ValueError if a shape does not match the cell or ``active`` is not a CPU mask."""
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
