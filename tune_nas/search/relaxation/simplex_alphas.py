"""Base class of relaxations whose α can be points of the simplex.

Li, Khodak, Balcan and Talwalkar, "Geometry-Aware Gradient Algorithms for Neural Architecture
Search" (GAEA), ICLR 2021, arXiv:2004.07802; the authors' code is liamcli/gaea_release.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.relaxation.relaxation import AlphaStep, Relaxation, softmax_where

MINIMUM = 1e-5  # of an operation's weight after a step, before it is renormalized (GAEA's code)


class SimplexAlphas(Relaxation):
    """Keeps α on the simplex of each edge, and β on that of the edges into each node.

    α is ≥ 0 and sums to 1 over the remaining operations of an edge; other operations have α = 0.
    Right after operations were removed, until the next step of α, the sum is smaller. Where
    `on_simplex` is false, α and β are those of the base class.
    """

    @classmethod
    def on_simplex(cls, config: RelaxationConfig) -> bool:
        """Return whether α is a point of the simplex on each edge."""
        return True

    def logits(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Return log α on the simplex, α otherwise; 0 outside of the mask."""
        if not self.on_simplex(self.config):
            return alphas
        # log α, not of α = 0 outside of the mask, whose gradient is not finite
        return alphas.masked_fill(~mask, 1.0).log()

    def relax_edges(self, betas: Tensor, mask: Tensor) -> Tensor:
        """Map β of the edges into nodes to edge weights: on the simplex, β itself."""
        if not self.on_simplex(self.config):
            return super().relax_edges(betas, mask)
        return renormalized(betas, mask)

    def adjust_alphas(self, step: AlphaStep) -> None:
        """Project α and β after a step: clamp them at 1e-5 and divide them by their sums."""
        for name, alpha in step.alphas.items():
            moved = projected(alpha, self.choices.remaining(name, alpha.device))
            closed = self.choices.closed(name, alpha.device)
            if closed is not None:
                moved = torch.where(closed[:, None], step.before[name], moved)
            alpha.copy_(moved)
        for name, beta in step.betas.items():
            there = ~self.choices.pruned(name, beta.device)
            for rows in self.choices.incoming(name, beta.device):
                share = projected(beta[rows][None], there[rows][None])[0]
                beta.index_copy_(0, rows, share)

    def initial_alphas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return α₀ for every cell type: on the simplex, uniform over an edge's operations.

        With a standard deviation s (``relaxation.init_std``), it is softmax(s · N(0, 1)) instead.
        """
        if not self.on_simplex(self.config):
            return super().initial_alphas(generator, dtype)
        std = self.config.init_std
        if std is None:
            std = 1e-3 if self.config.init == "normal" else 0.0
        found = {}
        for name, cell in self.cells.items():
            mask = cell.mask()
            noise = std * torch.randn(mask.shape, generator=generator, dtype=dtype)
            found[name] = softmax_where(noise, mask)
        return found

    def initial_betas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return β₀ for every cell type: on the simplex, uniform over the edges into each node."""
        betas = super().initial_betas(generator, dtype)
        if self.on_simplex(self.config):
            for name, beta in betas.items():
                for node in self.cells[name].nodes:
                    rows = self.cells[name].incoming(node)
                    beta[list(rows)] = 1.0 / len(rows)
        return betas


def renormalized(points: Tensor, mask: Tensor) -> Tensor:
    """Return points divided by the sum of each row over a mask, with the gradient of the identity.

    The value is p / Σ p over the mask, 0 elsewhere; the gradient is that of p, as if the sum were
    1. Where it is 1, that changes a gradient only by a constant per row, which no multiplicative
    step with a renormalization depends on.
    """
    there = points * mask
    value = there.detach()
    sums = value.sum(dim=-1, keepdim=True)
    shares = value / torch.where(sums == 0, torch.ones_like(sums), sums)
    return shares + (there - value)


def projected(points: Tensor, mask: Tensor) -> Tensor:
    """Clamp the entries of a mask at 1e-5 and divide each row by its sum; 0 outside of the mask."""
    clamped = points.clamp(min=MINIMUM) * mask
    empty = ~mask.any(dim=-1, keepdim=True)
    return clamped / (clamped.sum(dim=-1, keepdim=True) + empty)
