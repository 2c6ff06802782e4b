"""Operation weights with a learned distribution: DrNAS.

Chen et al., "DrNAS: Dirichlet Neural Architecture Search", ICLR 2021, arXiv:2006.10355.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation.penalty import kl_to_flat
from tune_nas.search.relaxation.relaxation import Alphas, Relaxation, Sample
from tune_nas.spaces import Space


class Dirichlet(Relaxation):
    """Weights sampled from Dir(elu(α) + 1) over an edge's operations, reparametrized."""

    is_drawn = True
    capturable = True
    runs_everything = True

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
    ) -> None:
        super().__init__(config, space, choices)
        self._everything = CandidateMask(space)  # never decided or pruned

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to the mean of the distribution: concentrations divided by their sum."""
        concentration = concentrations(alphas) * mask
        return _shares(concentration, mask).to(alphas.dtype)

    def sample(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sample:
        """Sample the weights of each edge as Gamma variables divided by their sum."""
        gammas = torch._standard_gamma(concentrations(alphas), generator=generator)
        # tiny concentrations give 0, see torch.distributions.Gamma
        gammas = gammas.clamp(min=torch.finfo(gammas.dtype).tiny) * mask
        return Sample(_shares(gammas, mask).to(alphas.dtype))

    def penalty(self, alphas: Alphas) -> Tensor | None:
        """Return weight · Σ KL(Dir(elu(α) + 1) ‖ Dir(1)), if configured.

        The sum is over the open edges and their remaining operations; for ``kl-all``, over all
        edges and operations of the space.
        """
        kind = self.config.penalty.kind
        if kind not in ("kl", "kl-all"):
            return None
        choices = self._everything if kind == "kl-all" else self.choices
        total = kl_to_flat(
            [
                concentrations(alpha)[places].reshape(-1, count)
                for name, alpha in alphas.items()
                for count, places in choices.undecided_places(name, alpha.device)
                if count > 1
            ]
        )
        return None if total is None else self.config.penalty.weight * total


def concentrations(alphas: Tensor) -> Tensor:
    """Return elu(α) + 1 > 0 in float64: float32 rounds it to 0 for α ≤ −17."""
    return F.elu(alphas.double()) + 1.0


def _shares(values: Tensor, mask: Tensor) -> Tensor:
    empty = ~mask.any(dim=1, keepdim=True)
    return values / (values.sum(dim=1, keepdim=True) + empty)
