"""One operation per edge by projection, with the gradient of all.

Yao et al., "Efficient Neural Architecture Search via Proximal Iterations" (NASP), AAAI 2020,
arXiv:1905.13577; the authors' code is xujinfan/NASP-codes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation.relaxation import AlphaStep, Relaxation, Sample
from tune_nas.seeds import Generators
from tune_nas.spaces import Space


class Proximal(Relaxation):
    """Weights of 1 for the architecture of the largest α, with α in [0, 1].

    A pass has the discretized α: on each edge, the operation of the largest α, and into each node
    only as many edges as a genotype keeps, those with the largest ones. Operations that a genotype
    never has are not chosen. Passes of w run only these operations. Passes of α run all, so that α
    has the gradient ∂L/∂(operation weights) at the discretized α (straight-through). The optimizer
    applies it to the continuous α, which is then clipped to [0, 1]. Edge weights β do not enter the
    discretization.
    """

    default_init = "half"
    evaluates_draws = True
    runs_everything = True
    competes = False
    adjusts_alphas = True

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
    ) -> None:
        super().__init__(config, space, choices)
        self._zeros = {name: cell.of_kind("none") for name, cell in self.cells.items()}
        if not isinstance(self, ChosenAlone):
            self.of_weights = ChosenAlone(config, space, self.choices)

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Return α itself, in [0, 1], by which operations and edges are selected."""
        return alphas * mask

    def adjust_alphas(self, step: AlphaStep) -> None:
        """Clip α to [0, 1]."""
        for alpha in step.alphas.values():
            alpha.clamp_(0.0, 1.0)

    def initial_alphas(self, generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        """Sample α₀, 0.5 without noise, clipped to [0, 1]."""
        found = super().initial_alphas(generator, dtype)
        return {name: alpha.clamp(0.0, 1.0) for name, alpha in found.items()}

    def _draw(
        self, name: str, alpha: Tensor, mask: Tensor, seed: int | None, generators: Generators
    ) -> Sample:
        if seed is None:
            return Sample(self.relax(alpha, mask))
        return self._projected(alpha, self.chosen(name, alpha))

    def _projected(self, alpha: Tensor, chosen: Tensor) -> Sample:
        through = alpha - alpha.detach()  # 0, with the gradient of α
        return Sample(chosen.to(alpha.device, alpha.dtype) + through)

    def chosen(self, name: str, alpha: Tensor) -> Tensor:
        """Return the mask of the operations of the discretized α, (edges, operations), on the CPU.

        Ties go to the first operation, but to ``none`` last: with it on every edge, as at the start
        in a space that has it, no α would have a gradient. Decided edges come first.
        """
        allowed, decided = self.choices.selectable(name), self.choices.decided(name)
        values = alpha.detach().double().cpu().masked_fill(~allowed, -math.inf)
        zeros = self._zeros[name]
        best, columns = values.masked_fill(zeros, -math.inf).max(dim=1)
        of_zeros, zero_columns = values.masked_fill(~zeros, -math.inf).max(dim=1)
        columns = torch.where(of_zeros > best, zero_columns, columns)
        best = torch.maximum(best, of_zeros)
        best = best.masked_fill(decided, math.inf)
        kept = torch.zeros_like(decided)
        cell = self.cells[name]
        for node in cell.nodes:
            rows = torch.tensor(cell.incoming(node))
            order = best[rows].argsort(descending=True, stable=True)
            kept[rows[order[: cell.kept_inputs(node)]]] = True
        kept |= decided
        chosen = torch.zeros_like(allowed).scatter(1, columns[:, None], True)
        return chosen & kept[:, None] & allowed


class ChosenAlone(Proximal):
    """The same weights, without a gradient; only the chosen operations run."""

    runs_everything = False
    adjusts_alphas = False

    def _projected(self, alpha: Tensor, chosen: Tensor) -> Sample:
        return Sample(chosen.to(alpha.device, alpha.dtype), active=chosen)
