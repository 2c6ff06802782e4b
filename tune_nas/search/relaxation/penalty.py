"""Terms that α's loss can have besides cross-entropy; None where no edge is open any more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

Masked = tuple[Tensor, Tensor]
"""Values of one cell type (edges, operations), and which of them count, bool, on the CPU."""


def kl_to_flat(concentrations: Sequence[Masked]) -> Tensor | None:
    """Return Σ over edges of KL(Dir(concentration) ‖ Dir(1)), a scalar.

    Chen et al., "DrNAS", ICLR 2021, arXiv:2006.10355, the authors' option ``kl``. An edge with a
    single operation has no divergence.
    """
    terms = []
    for values, mask in concentrations:
        counts = mask.sum(dim=1)
        for count in sorted({count for count in counts.tolist() if count > 1}):
            rows, columns = (mask & (counts == count)[:, None]).nonzero(as_tuple=True)
            own = values[rows, columns].reshape(-1, count)
            terms.append(kl_divergence(Dirichlet(own), Dirichlet(torch.ones_like(own))).sum())
    return torch.stack(terms).sum() if terms else None


def zero_one(weights: Sequence[Masked]) -> Tensor | None:
    """Return −mean (w − 0.5)² over all weights, a scalar: least where each is 0 or 1.

    Chu et al., "Fair DARTS", ECCV 2020, arXiv:1911.12126, the loss L_0-1.
    """
    values = torch.cat([own[mask.nonzero(as_tuple=True)] for own, mask in weights])
    return -(values - 0.5).square().mean() if values.numel() else None
