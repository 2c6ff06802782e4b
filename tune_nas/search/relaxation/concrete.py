"""A sampled soft choice: Xie et al., "SNAS", ICLR 2019, arXiv:1812.09926."""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.search.relaxation.relaxation import Sample
from tune_nas.search.relaxation.tempered import Tempered


class Concrete(Tempered):
    """Weights sampled from the concrete distribution: softmax((α + g) / τ), reparametrized."""

    capturable = True
    runs_everything = True

    def sample(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sample:
        """Sample weights that sum to 1 on each edge and approach one-hot as τ decreases."""
        return Sample(self.soft_choice(alphas, mask, generator))
