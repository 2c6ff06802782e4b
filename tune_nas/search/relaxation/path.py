"""One uniformly sampled architecture of the space per pass: random search with shared weights.

Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019,
arXiv:1902.07638, Sec. 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation.relaxation import Relaxation, Sample
from tune_nas.seeds import Generators
from tune_nas.spaces import Space


class UniformPath(Relaxation):
    """Samples, regardless of α, the edges into each node that a genotype keeps, one operation each.

    Operations that a genotype never has are not sampled.
    """

    is_drawn = True
    evaluates_draws = True

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
    ) -> None:
        super().__init__(config, space, choices)
        self._into = {
            name: [
                (torch.tensor(cell.incoming(node)), cell.kept_inputs(node)) for node in cell.nodes
            ]
            for name, cell in self.cells.items()
        }

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Return the same weight for every operation of an edge; they sum to 1."""
        counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return mask.to(alphas.dtype) / counts

    def _draw(
        self, name: str, alpha: Tensor, mask: Tensor, seed: int | None, generators: Generators
    ) -> Sample:
        allowed = self.choices.selectable(name)
        present = allowed.any(dim=1)
        if seed is None:
            share = torch.zeros(len(present))
            for rows, count in self._into[name]:
                there = rows[present[rows]]
                share[there] = min(1.0, count / max(len(there), 1))
            weights = self.relax(alpha, allowed.to(alpha.device))
            return Sample(weights * share.to(weights)[:, None])
        # on the CPU, where the path is read; independent of α
        generator = generators(seed, name, torch.device("cpu"))
        order = torch.rand(len(present), generator=generator).masked_fill(~present, -1.0)
        order[self.choices.decided(name)] = 2.0  # first: a decided edge always runs
        scores = torch.rand(allowed.shape, generator=generator).masked_fill(~allowed, -1.0)
        kept = torch.zeros_like(present)
        for rows, count in self._into[name]:
            kept[rows[order[rows].topk(count).indices]] = True
        chosen = self._chosen(name, seed, generators, scores)
        drawn = torch.zeros_like(allowed).scatter(1, chosen[:, None], True)
        active = drawn & (kept & present)[:, None]
        return Sample(active.to(alpha.device, alpha.dtype), active=active)

    def _chosen(self, name: str, seed: int, generators: Generators, scores: Tensor) -> Tensor:
        """Return the operation of each edge, (edges,).

        Args:
            name: The cell type.
            seed: The seed of the pass.
            generators: Source of its generators.
            scores: Random numbers, −1 for operations that are not allowed, (edges, operations).
        """
        return scores.argmax(dim=1)
