"""One architecture of the space per pass, drawn uniformly: random search with shared weights.

Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019,
arXiv:1902.07638, Sec. 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.search.relaxation.base import Relaxation, Sample, register_relaxation
from tune_nas.seeds import derive_seed


@register_relaxation("path")
class Path(Relaxation):
    """Draws, whatever α is, as many edges into each node as a genotype keeps, an operation each.

    Operations that a genotype never has are not drawn.
    """

    is_drawn = True

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Return the same weight for every operation of an edge; they sum to 1."""
        counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return mask.to(alphas.dtype) / counts

    def _draw(self, name: str, alpha: Tensor, mask: Tensor, seed: int | None) -> Sample:
        cell, remaining = self.cells[name], self.choices.remaining(name)
        eligible = remaining & cell.eligible()
        allowed = torch.where(eligible.any(dim=1, keepdim=True), eligible, remaining)
        present = remaining.any(dim=1)
        if seed is None:
            share = torch.zeros(len(cell.edges))
            for node in cell.nodes:
                rows = [row for row in cell.incoming(node) if present[row]]
                share[rows] = min(1.0, cell.kept_inputs(node) / max(len(rows), 1))
            weights = self.relax(alpha, allowed.to(alpha.device))
            return Sample(weights * share.to(weights)[:, None])
        # on the CPU, where the path is read: nothing of it depends on α
        generator = torch.Generator().manual_seed(derive_seed(seed, name))
        order = torch.rand(len(cell.edges), generator=generator).masked_fill(~present, -1.0)
        scores = torch.rand(allowed.shape, generator=generator).masked_fill(~allowed, -1.0)
        drawn = torch.zeros_like(allowed).scatter(1, scores.argmax(dim=1, keepdim=True), True)
        kept = torch.zeros_like(present)
        for node in cell.nodes:
            into = torch.tensor(cell.incoming(node))
            kept[into[order[into].topk(cell.kept_inputs(node)).indices]] = True
        active = drawn & (kept & present)[:, None]
        return Sample(active.to(alpha.device, alpha.dtype), active=active)
