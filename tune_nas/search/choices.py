"""What is still open in a search: the operations that each edge may have, and the decided edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tune_nas.spaces import Space


class Choices:
    """The state that decisions, shrinking and pruning share; relaxations and selections read it.

    An edge is decided when one operation was chosen for it: it then has weight 1, whatever the
    relaxation. It is pruned when no operation is left: it then is not run and adds nothing.

    Args:
        space: The space; at first every edge has all of its operations.
    """

    def __init__(self, space: Space) -> None:
        self.cells = dict(space.cells)
        self._remaining = {name: cell.mask() for name, cell in self.cells.items()}
        self._decided = {
            name: torch.zeros(len(cell.edges), dtype=torch.bool)
            for name, cell in self.cells.items()
        }
        self._on_device: dict[tuple[str, torch.device], Tensor] = {}

    def remaining(self, cell: str, device: torch.device | str = "cpu") -> Tensor:
        """Return which operations each edge still has, (edges, operations), bool."""
        key = (cell, torch.device(device))
        if key not in self._on_device:
            self._on_device[key] = self._remaining[cell].to(device)
        return self._on_device[key]

    def decided(self, cell: str) -> Tensor:
        """Return which edges have been decided, (edges,), bool, on the CPU."""
        return self._decided[cell]

    def pruned(self, cell: str) -> Tensor:
        """Return which edges have no operation left, (edges,), bool, on the CPU."""
        return ~self._remaining[cell].any(dim=1)

    def open(self, cell: str) -> list[int]:
        """Return the rows of the edges that are neither decided nor pruned."""
        rows: list[int] = (~self.decided(cell) & ~self.pruned(cell)).nonzero().flatten().tolist()
        return rows

    def undecided(self, cell: str) -> Tensor:
        """Return the operations of open edges, (edges, operations), bool, on the CPU."""
        return self._remaining[cell] & ~self._decided[cell][:, None]

    def is_untouched(self, cell: str) -> bool:
        """Whether every edge has all of its operations."""
        return bool(torch.equal(self._remaining[cell], self.cells[cell].mask()))

    def decide(self, cell: str, row: int, column: int) -> None:
        """Choose one operation for an edge.

        Raises:
            ValueError: If the edge does not have it any more.
        """
        if not self._remaining[cell][row, column]:
            raise ValueError(f"edge {row} of cell '{cell}' has no operation {column} left")
        only = torch.zeros_like(self._remaining[cell][row])
        only[column] = True
        self._decided[cell][row] = True
        self._narrow(cell, row, only)

    def prune(self, cell: str, row: int) -> None:
        """Take an edge out."""
        self._decided[cell][row] = False
        self._narrow(cell, row, torch.zeros_like(self._remaining[cell][row]))

    def keep(self, cell: str, mask: Tensor) -> None:
        """Leave the edges of a cell those operations that a mask (edges, operations) has."""
        self._replace(cell, self._remaining[cell] & mask.cpu())

    def state_dict(self) -> dict[str, Any]:
        """Return the masks by cell type."""
        return {
            name: {
                "remaining": self._remaining[name].clone(),
                "decided": self._decided[name].clone(),
            }
            for name in self.cells
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the masks back."""
        for name in self.cells:
            self._replace(name, state[name]["remaining"].clone())
            self._decided[name] = state[name]["decided"].clone()

    def _narrow(self, cell: str, row: int, only: Tensor) -> None:
        mask = self._remaining[cell].clone()
        mask[row] &= only
        self._replace(cell, mask)

    def _replace(self, cell: str, mask: Tensor) -> None:
        self._remaining[cell] = mask
        self._on_device = {key: held for key, held in self._on_device.items() if key[0] != cell}
