"""The remaining candidate operations of each edge of a search, and the decided edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor

from tune_nas.spaces import Space

T = TypeVar("T")
Places = tuple[Tensor, Tensor]
"""Rows and columns of operations in a cell's α, each (n,)."""


class Candidates:
    """The remaining operations of each edge, read by relaxations, rules and selections.

    An edge is decided when one operation was chosen for it, which then has weight 1 for any
    relaxation. It is pruned when no operation is left; it is then not run and adds nothing.

    Args:
        space: The space; initially, every edge has all of its operations.

    Attributes:
        version: Incremented on every change.
    """

    def __init__(self, space: Space) -> None:
        self.cells = dict(space.cells)
        self._remaining = {name: cell.mask() for name, cell in self.cells.items()}
        self._decided = {
            name: torch.zeros(len(cell.edges), dtype=torch.bool)
            for name, cell in self.cells.items()
        }
        # Cache by cell, name and device, so that a step needs no transfer and no value read.
        self._known: dict[tuple[str, str, torch.device], object] = {}
        self.version = 0

    def remaining(self, cell: str, device: torch.device | str = "cpu") -> Tensor:
        """Return the mask of remaining operations, (edges, operations), bool."""
        return self._once(cell, "remaining", device, lambda to: self._remaining[cell].to(to))

    def selectable(self, cell: str) -> Tensor:
        """Return the mask of remaining operations that a genotype may have, on the CPU.

        (edges, operations), bool. Edges without any of them have all their remaining operations.
        """

        def find(to: torch.device) -> Tensor:
            remaining = self._remaining[cell]
            eligible = remaining & self.cells[cell].eligible()
            return torch.where(eligible.any(dim=1, keepdim=True), eligible, remaining)

        return self._once(cell, "selectable", "cpu", find)

    def decided(self, cell: str, device: torch.device | str = "cpu") -> Tensor:
        """Return the mask of decided edges, (edges,), bool."""
        return self._once(cell, "decided", device, lambda to: self._decided[cell].to(to))

    def pruned(self, cell: str, device: torch.device | str = "cpu") -> Tensor:
        """Return the mask of edges without operations, (edges,), bool."""
        return self._once(
            cell, "pruned", device, lambda to: (~self._remaining[cell].any(dim=1)).to(to)
        )

    def closed(self, cell: str, device: torch.device | str = "cpu") -> Tensor | None:
        """Return the mask of decided or pruned edges, (edges,), bool; None if there are none."""

        def find(to: torch.device) -> Tensor | None:
            closed = self.decided(cell) | self.pruned(cell)
            return closed.to(to) if bool(closed.any()) else None

        return self._once(cell, "closed", device, find)

    def incoming(self, cell: str, device: torch.device | str = "cpu") -> list[Tensor]:
        """Return the rows of the edges into each node, each (edges of the node,)."""
        own = self.cells[cell]
        return self._once(
            cell,
            "incoming",
            device,
            lambda to: [torch.tensor(own.incoming(node), device=to) for node in own.nodes],
        )

    def open(self, cell: str) -> list[int]:
        """Return the rows of the edges that are neither decided nor pruned."""
        rows: list[int] = (~self.decided(cell) & ~self.pruned(cell)).nonzero().flatten().tolist()
        return rows

    def undecided(self, cell: str, device: torch.device | str = "cpu") -> Tensor:
        """Return the mask of the operations of open edges, (edges, operations), bool."""
        return self._once(
            cell,
            "undecided",
            device,
            lambda to: (self._remaining[cell] & ~self._decided[cell][:, None]).to(to),
        )

    def undecided_places(
        self, cell: str, device: torch.device | str = "cpu"
    ) -> list[tuple[int, Places]]:
        """Return the positions of the operations of open edges, grouped by their number per edge.

        A count n comes with the positions of all edges with n operations, row by row, (n · edges,)
        each.
        """

        def find(to: torch.device) -> list[tuple[int, Places]]:
            mask = self.undecided(cell)
            counts = mask.sum(dim=1)
            found = []
            for count in sorted({count for count in counts.tolist() if count > 0}):
                rows, columns = (mask & (counts == count)[:, None]).nonzero(as_tuple=True)
                found.append((count, (rows.to(to), columns.to(to))))
            return found

        return self._once(cell, "places", device, find)

    def is_untouched(self, cell: str) -> bool:
        """Return whether every edge has all of its operations."""
        return self._once(
            cell,
            "untouched",
            "cpu",
            lambda _: bool(torch.equal(self._remaining[cell], self.cells[cell].mask())),
        )

    def _once(
        self,
        cell: str,
        name: str,
        device: torch.device | str,
        find: Callable[[torch.device], T],
    ) -> T:
        key = (cell, name, torch.device(device))
        if key not in self._known:
            self._known[key] = find(key[2])
        return cast("T", self._known[key])


class CandidateMask(Candidates):
    """The mutable candidates of a search, which decides, shrinks and prunes edges."""

    def decide(self, cell: str, row: int, column: int) -> None:
        """Choose one operation for an edge.

        Raises:
            ValueError: If the edge no longer has it.
        """
        if not self._remaining[cell][row, column]:
            raise ValueError(f"edge {row} of cell '{cell}' has no operation {column} left")
        only = torch.zeros_like(self._remaining[cell][row])
        only[column] = True
        self._decided[cell][row] = True
        self._narrow(cell, row, only)

    def prune(self, cell: str, row: int) -> None:
        """Remove an edge."""
        self._decided[cell][row] = False
        self._narrow(cell, row, torch.zeros_like(self._remaining[cell][row]))

    def keep(self, cell: str, mask: Tensor) -> None:
        """Keep only the operations in a mask (edges, operations) on the edges of a cell."""
        self._replace(cell, self._remaining[cell] & mask.cpu())

    def reopen(self, cell: str, mask: Tensor) -> None:
        """Give open edges the operations of a mask (edges, operations); removed ones can return.

        Decided and pruned edges, and operations that an edge of the space does not have, are not
        changed.
        """
        closed = (self._decided[cell] | ~self._remaining[cell].any(dim=1))[:, None]
        chosen = mask.cpu() & self.cells[cell].mask()
        self._replace(cell, torch.where(closed, self._remaining[cell], chosen))

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return the masks by cell type."""
        return {
            name: {
                "remaining": self._remaining[name].clone(),
                "decided": self._decided[name].clone(),
            }
            for name in self.cells
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore the masks."""
        for name in self.cells:
            self._decided[name] = state[name]["decided"].clone()
            self._replace(name, state[name]["remaining"].clone())

    def _narrow(self, cell: str, row: int, only: Tensor) -> None:
        mask = self._remaining[cell].clone()
        mask[row] &= only
        self._replace(cell, mask)

    def _replace(self, cell: str, mask: Tensor) -> None:
        self._remaining[cell] = mask
        self._known = {key: held for key, held in self._known.items() if key[0] != cell}
        self.version += 1
