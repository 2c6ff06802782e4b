"""One sampled operation per edge, with a gradient for all of them.

Dong and Yang, "Searching for A Robust Neural Architecture in Four GPU Hours" (GDAS), CVPR 2019,
arXiv:1910.04465, Eq. 4 to 6.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tune_nas.search.relaxation.relaxation import Sample
from tune_nas.search.relaxation.tempered import Tempered
from tune_nas.seeds import Generators


class Gumbel(Tempered):
    """Hard Gumbel-softmax samples with the gradient of the soft ones (straight-through).

    Only the sampled operation is run. ``relaxation.unsampled`` determines how the others enter an
    edge's sum: not at all, so that α has the gradient of the sampled operation's weight (the paper,
    and the authors' cell for the DARTS space), or each as its weight, a scalar that is 0 and has
    the gradient of the soft choice (the authors' cell for NAS-Bench-201).
    """

    def sample(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sample:
        """Sample exact one-hot weights, the path to run, and the scalar of the others."""
        soft = self.soft_choice(alphas, mask, generator)
        drawn = torch.zeros_like(mask).scatter(1, soft.argmax(dim=1, keepdim=True), True) & mask
        through = soft - soft.detach()  # 0, with the gradient of the soft choice
        return Sample(
            operations=drawn.to(soft.dtype) + through,
            active=drawn.cpu(),
            offsets=through.masked_fill(drawn, 0.0).sum(dim=1),
        )

    def _draw(
        self, name: str, alpha: Tensor, mask: Tensor, seed: int | None, generators: Generators
    ) -> Sample:
        drawn = super()._draw(name, alpha, mask, seed, generators)
        return drawn if self._as_numbers(name) else replace(drawn, offsets=None)

    def _as_numbers(self, name: str) -> bool:
        """Return whether unsampled operations enter the sums of a cell type as numbers."""
        if self.config.unsampled == "auto":
            return self.cells[name].output == "last"
        return self.config.unsampled == "as-numbers"
