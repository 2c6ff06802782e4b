"""Operation dropout: a softmax over the operations of an edge that a pass keeps.

Hong et al., "DropNAS: Grouped Operation Dropout for Differentiable Architecture Search", IJCAI
2020, arXiv:2201.11679, Sec. 3; the authors' code is wiljohnhong/DropNAS, ``models/search_cnn.py``.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from tune_nas.search.relaxation.relaxation import AlphaStep, Relaxation, Sample, softmax_where
from tune_nas.seeds import Generators

_CPU = torch.device("cpu")  # where the operations to run are read


class OperationDropout(Relaxation):
    """Each pass drops operations at random; the softmax is over the others (DropNAS).

    Of a group of n operations on an edge, each is dropped with probability r^(1/n), sampled again
    until one is kept. Dropped operations do not run. The mask is that of all cells of a type. After
    a step of α's optimizer, the dropped α are reset, and the others are shifted together, so that
    softmax(α) of dropped operations is unchanged.
    """

    is_drawn = True
    runs_everything = True
    adjusts_alphas = True

    @cached_property
    def _groups(self) -> dict[str, list[Tensor]]:
        """The groups of the operations by cell type, each (edges, operations), bool."""
        if self.config.dropout.groups != "parameters":
            return {name: [cell.mask()] for name, cell in self.cells.items()}
        learned = {name: cell.of_kind("convolution") for name, cell in self.cells.items()}
        return {name: [own, self.cells[name].mask() & ~own] for name, own in learned.items()}

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to softmax weights over the operations of each edge, without dropout."""
        return softmax_where(alphas, mask)

    def _draw(
        self, name: str, alpha: Tensor, mask: Tensor, seed: int | None, generators: Generators
    ) -> Sample:
        if seed is None:
            return Sample(self.relax(alpha, mask))
        kept = self._kept(name, seed, generators)
        return Sample(softmax_where(alpha, kept.to(alpha.device)), active=kept)

    def _kept(self, name: str, seed: int, generators: Generators) -> Tensor:
        """Return the operations that the pass with a seed keeps, (edges, operations), on the CPU.

        Independent of α.
        """
        generator, present = generators(seed, name, _CPU), self.choices.remaining(name)
        kept = torch.zeros_like(present)
        for group in self._groups[name]:
            own = group & present
            counts = own.sum(dim=1, keepdim=True)
            probability = self.config.dropout.rate ** (1.0 / counts.clamp(min=1).double())
            missing = own.any(dim=1)
            while bool(missing.any()):
                uniform = torch.rand(own.shape, generator=generator, dtype=torch.float64)
                kept |= own & (uniform >= probability) & missing[:, None]
                missing = missing & ~(kept & own).any(dim=1)
        return kept

    def adjust_alphas(self, step: AlphaStep) -> None:
        """Reset the dropped α, and shift the kept ones of their edge by log(Σ exp α / Σ exp α').

        The sums are over the kept operations before and after the step, so that those of exp over
        all operations are equal. Operations of several passes (mixed level) are dropped if none of
        the passes ran them.
        """
        for name, alpha in step.alphas.items():
            present, before = self.choices.remaining(name), step.before[name]
            kept = torch.zeros_like(present)
            for seed in step.seeds:
                kept |= self._kept(name, seed, step.generators)
            dropped = present & ~kept
            rows = dropped.any(dim=1, keepdim=True) & kept.any(dim=1, keepdim=True)
            if not bool(rows.any()):
                continue
            dropped, moved = dropped.to(alpha.device), (kept & rows).to(alpha.device)
            sums = [
                each.masked_fill(~moved, float("-inf")).logsumexp(dim=1, keepdim=True)
                for each in (before, alpha)
            ]
            shifted = torch.where(moved, alpha + (sums[0] - sums[1]), alpha)
            alpha.copy_(torch.where(dropped, before, shifted))
