"""The operation weights themselves as architecture parameters.

Li, Khodak, Balcan and Talwalkar, "Geometry-Aware Gradient Algorithms for Neural Architecture
Search" (GAEA), ICLR 2021, arXiv:2004.07802; the authors' code is liamcli/gaea_release. Nayman et
al., "XNAS: Neural Architecture Search with Expert Advice", NeurIPS 2019, arXiv:1906.08031.
"""

from __future__ import annotations

from torch import Tensor

from tune_nas.search.relaxation.simplex_alphas import SimplexAlphas, renormalized


class Simplex(SimplexAlphas):
    """Operations of an edge compete: w = α, a point of the simplex, without an activation."""

    default_init = "uniform-weight"
    adjusts_alphas = True
    straight_through = True
    capturable = True
    runs_everything = True

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to itself, divided by the sum over the remaining operations of each edge.

        The gradient is the one of the identity.
        """
        return renormalized(alphas, mask)
