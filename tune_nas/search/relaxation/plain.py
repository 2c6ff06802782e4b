"""Relaxations without sampling.

Softmax: Liu et al., "DARTS", ICLR 2019, Eq. 2. Sigmoid with α₀ = −ln(n − 1): Hou and Jin,
"Single-level Optimization For Differential Architecture Search", 2021.
"""

from __future__ import annotations

from torch import Tensor

from tune_nas.search.relaxation.penalty import zero_one
from tune_nas.search.relaxation.relaxation import (
    Alphas,
    Relaxation,
    softmax_where,
)


class Softmax(Relaxation):
    """Operations of an edge compete: w = softmax(α), which sums to 1 (DARTS, Eq. 2)."""

    capturable = True
    runs_everything = True

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to softmax weights over the operations of each edge."""
        return softmax_where(alphas, mask)


class Sigmoid(Relaxation):
    """Operations of an edge do not compete: w = σ(α), each in (0, 1) (Hou and Jin)."""

    default_init = "uniform-weight"
    competes = False
    capturable = True
    runs_everything = True

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to sigmoid weights."""
        return alphas.sigmoid() * mask

    def penalty(self, alphas: Alphas) -> Tensor | None:
        """Return FairDARTS's weight · L_0-1 over the operations of open edges, if configured."""
        if self.config.penalty.kind != "zero-one":
            return None
        total = zero_one(
            [
                alpha.sigmoid()[places]
                for name, alpha in alphas.items()
                for _, places in self.choices.undecided_places(name, alpha.device)
            ]
        )
        return None if total is None else self.config.penalty.weight * total
