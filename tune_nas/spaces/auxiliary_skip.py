"""Auxiliary skip connections: β · skip(x) beside the operations of every edge of a supernet.

Chu et al., "DARTS-: Robustly Stepping out of Performance Collapse Without Indicators", ICLR 2021,
arXiv:2009.01027. The skip is an identity, and at stride 2 a factorized reduction, as in the
authors' code (Meituan-AutoML/DARTS-, ``src/search/model_search.py``).

Only the cells of a supernet know these skips: as the last operation of each edge, so that the
others keep their columns. The space, α and all mixing weights outside the supernet do not have
them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from tune_nas.spaces.space import CellSpace, Space
from tune_nas.spaces.weights import CellWeights

_SKIP = "skip_connect"


def with_skip(cell: CellSpace) -> CellSpace:
    """Return a cell type whose edges have one more operation, the last: the auxiliary skip."""
    return replace(cell, operations=tuple((*names, _SKIP) for names in cell.operations))


def with_skips(space: Space) -> Space:
    """Return a space with the cells of `with_skip`, to estimate the size of its supernet."""
    cells = {name: with_skip(cell) for name, cell in space.cells.items()}
    return replace(space, cells=cells)


def with_skip_weight(weights: CellWeights, cell: CellSpace, beta: float) -> CellWeights:
    """Return the mixing weights of a cell of `with_skip`: those of a cell type, and β.

    The skip runs on every edge on which an operation runs, unless β is 0.

    Args:
        weights: Mixing weights of the cell type, without the skip.
        cell: The cell type, without the skip.
        beta: β ≥ 0.
    """
    widths = tuple(map(len, cell.operations))
    running = weights.running()
    if running is None and beta == 0:
        running = ((True,) * cell.n_operations,) * len(widths)
    active = None if running is None else _active(running, widths, beta != 0)
    return replace(weights, operations=_inserted(weights.operations, widths, beta), active=active)


def _inserted(operations: Tensor, widths: tuple[int, ...], beta: float) -> Tensor:
    """Return operation weights with β after those of each edge, (edges, 1 + operations)."""
    dtype, device = operations.dtype, operations.device
    if len(set(widths)) == 1:
        column = torch.full((len(widths), 1), beta, dtype=dtype, device=device)
        return torch.cat([operations, column], dim=1)
    weight = torch.full((1,), beta, dtype=dtype, device=device)
    rows = zip(operations.unbind(), widths, strict=True)
    return torch.stack([torch.cat([row[:width], weight, row[width:]]) for row, width in rows])


@lru_cache(maxsize=64)  # a captured step must not compute anything on the host
def _active(
    running: tuple[tuple[bool, ...], ...], widths: tuple[int, ...], with_skip: bool
) -> Tensor:
    """Return the mask of the operations to run, with the skip after those of each edge."""
    rows = zip(running, widths, strict=True)
    return torch.tensor(
        [(*row[:width], with_skip and any(row), *row[width:]) for row, width in rows],
        dtype=torch.bool,
    )
