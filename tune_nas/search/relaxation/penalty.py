"""Terms added to the cross-entropy in α's loss; None if no edge is open any more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence


def kl_to_flat(concentrations: Sequence[Tensor]) -> Tensor | None:
    """Return Σ over edges of KL(Dir(concentration) ‖ Dir(1)), a scalar.

    Chen et al., "DrNAS", ICLR 2021, arXiv:2006.10355, the authors' option ``kl``.

    Args:
        concentrations: Grouped by the number of operations, at least 2; each (edges, operations).
    """
    # not validated: that would read the values back to the host
    terms = [
        kl_divergence(
            Dirichlet(own, validate_args=False),
            Dirichlet(torch.ones_like(own), validate_args=False),
        ).sum()
        for own in concentrations
    ]
    return torch.stack(terms).sum() if terms else None


def zero_one(weights: Sequence[Tensor]) -> Tensor | None:
    """Return −mean (w − 0.5)² over all weights, a scalar, minimal if each is 0 or 1.

    Chu et al., "Fair DARTS", ECCV 2020, arXiv:1911.12126, the loss L_0-1.

    Args:
        weights: The weights to include, each (n,).
    """
    values = torch.cat(list(weights)) if weights else torch.empty(0)
    return -(values - 0.5).square().mean() if values.numel() else None
