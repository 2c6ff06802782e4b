"""What α says of the operations of each edge: expected weights, shares and logits."""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.search.view import SearchView
from tune_nas.spaces import CellSpace


def operation_shares(search: SearchView, name: str) -> tuple[Tensor, Tensor]:
    """Return the importance of each edge and the shares of its operations other than ``none``.

    Both are computed from all operations of all edges, including decided and pruned ones, whose α
    is kept.

    Args:
        search: The search.
        name: The cell type.

    Returns:
        Importance (edges,) and shares (edges, operations), on the CPU in float64. The shares of an
        edge sum to 1; that of ``none`` is 0.
    """
    cell = search.space.cells[name]
    weights = _normalized(operation_weights(search, name, cell.mask()), cell.mask())
    others = not_none(cell)
    # 1 − the share of `none` is exactly 1 in a space without it; the sum is only nearly 1.
    importance = 1.0 - weights.masked_fill(others, 0.0).sum(dim=1)
    shares = weights.masked_fill(~others, 0.0)
    return importance, _normalized(shares, others)


def operation_weights(search: SearchView, name: str, mask: Tensor) -> Tensor:
    """Return the expected weights of the operations of a mask, on the CPU in float64.

    Args:
        search: The search.
        name: The cell type.
        mask: The operations, (edges, operations), bool; others get weight 0.
    """
    alpha = search.alphas[name].detach()
    return search.relaxation.relax(alpha, mask.to(alpha.device)).double().cpu()


def operation_logits(search: SearchView) -> dict[str, Tensor]:
    """Return the logits of all operations of all edges by cell type, each (edges, operations)."""
    return {
        name: search.relaxation.logits(
            alpha.detach(), search.space.cells[name].mask().to(alpha.device)
        )
        for name, alpha in search.alphas.items()
    }


def _normalized(weights: Tensor, mask: Tensor) -> Tensor:
    """Divide the weights of each edge by their sum; equal shares where all are 0 (`proximal`)."""
    totals, counts = weights.sum(dim=1, keepdim=True), mask.sum(dim=1, keepdim=True)
    return torch.where(totals > 0, weights / totals, mask / counts)


def not_none(cell: CellSpace) -> Tensor:
    """Return the mask of the operations other than ``none``, (edges, operations), bool."""
    return cell.mask() & ~cell.of_kind("none")
