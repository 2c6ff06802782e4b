"""Auxiliary skip connections: β · skip(x) beside the operations of every edge of a supernet.

Chu et al., "DARTS-: Robustly Stepping out of Performance Collapse Without Indicators", ICLR 2021,
arXiv:2009.01027. The skip is an identity, and at stride 2 a factorized reduction, as in the
authors' code (Meituan-AutoML/DARTS-, ``src/search/model_search.py``).

Only the cells of a supernet know these skips: as the first column of their operation weights. The
space, α and all mixing weights outside the supernet do not have them.
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
    """Return a cell type whose edges have one more operation, the first: the auxiliary skip."""
    return replace(cell, operations=tuple((_SKIP, *names) for names in cell.operations))


def with_skips(space: Space) -> Space:
    """Return a space with the cells of `with_skip`, to estimate the size of its supernet."""
    cells = {name: with_skip(cell) for name, cell in space.cells.items()}
    return replace(space, cells=cells)


def with_skip_weight(weights: CellWeights, beta: float) -> CellWeights:
    """Return the mixing weights of a cell of `with_skip`: those of a cell type, and β.

    The skip runs on every edge on which an operation runs, unless β is 0.

    Args:
        weights: Mixing weights of the cell type, without the skip.
        beta: β ≥ 0.
    """
    own = weights.operations
    column = torch.full((own.shape[0], 1), beta, dtype=own.dtype, device=own.device)
    rows = weights.running()
    if rows is None and beta == 0:
        rows = ((True,) * own.shape[1],) * own.shape[0]
    active = None if rows is None else _active(rows, beta != 0)
    return replace(weights, operations=torch.cat([column, own], dim=1), active=active)


@lru_cache(maxsize=64)  # a captured step must not compute anything on the host
def _active(rows: tuple[tuple[bool, ...], ...], runs: bool) -> Tensor:
    """Return the mask of the operations to run, (edges, 1 + operations), with the skip first."""
    return torch.tensor([(runs and any(row), *row) for row in rows], dtype=torch.bool)
