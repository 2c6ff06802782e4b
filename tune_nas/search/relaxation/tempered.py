"""Base class of relaxations that sample with Gumbel noise at a temperature."""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation.gumbel_noise import gumbel_noise
from tune_nas.search.relaxation.relaxation import softmax_where
from tune_nas.search.relaxation.simplex_alphas import SimplexAlphas
from tune_nas.spaces import Space


class Tempered(SimplexAlphas):
    """Samples from the concrete distribution of α at a temperature τ, linear over the epochs.

    With ``relaxation.alphas: probabilities``, α is a point of the simplex on each edge, and log α
    takes the place of α below (GAEA's form of GDAS).

    Maddison et al., arXiv:1611.00712, and Jang et al., arXiv:1611.01144. For any τ, the largest
    entry of a sample is operation k with probability softmax(α)_k; these are the expected weights.
    """

    is_drawn = True
    evaluates_draws = True

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
    ) -> None:
        super().__init__(config, space, choices)
        self.adjusts_alphas = self.on_simplex(config)
        self.temperature = config.temperature.start

    @classmethod
    def on_simplex(cls, config: RelaxationConfig) -> bool:
        """Return whether α is a point of the simplex on each edge."""
        return config.alphas == "probabilities"

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Set the temperature of epoch e (0-based) of E: see `TemperatureConfig.in_epoch`."""
        self.temperature = self.config.temperature.in_epoch(epoch, epochs)

    def metrics(self) -> dict[str, float]:
        """Return the temperature of the epoch."""
        return {"temperature": self.temperature}

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to the probabilities of the operations, softmax(α)."""
        return softmax_where(self.logits(alphas, mask), mask)

    def soft_choice(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Sample softmax((α + g) / τ) with g ~ Gumbel(0, 1), (edges, operations)."""
        logits = self.logits(alphas, mask)
        return softmax_where((logits + gumbel_noise(logits, generator)) / self.temperature, mask)
