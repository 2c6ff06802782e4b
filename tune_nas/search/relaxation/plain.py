"""Relaxations that draw nothing.

Softmax: Liu et al., "DARTS", ICLR 2019, Eq. 2. Sigmoid with α₀ = −ln(n − 1): Hou and Jin,
"Single-level Optimization For Differential Architecture Search", 2021.
"""

from __future__ import annotations

from torch import Tensor

from tune_nas.search.relaxation.base import Relaxation, register_relaxation, softmax_where


@register_relaxation("softmax")
class Softmax(Relaxation):
    """Operations of an edge compete: w = softmax(α), which sums to 1 (DARTS, Eq. 2)."""

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to softmax weights over the operations that each edge has."""
        return softmax_where(alphas, mask)


@register_relaxation("sigmoid")
class Sigmoid(Relaxation):
    """Operations of an edge do not compete: w = σ(α), each in (0, 1) (Hou and Jin)."""

    default_init = "uniform-weight"

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to sigmoid weights."""
        return alphas.sigmoid() * mask
