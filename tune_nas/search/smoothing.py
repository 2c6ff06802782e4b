"""Smoothing: w is trained at operation weights that are perturbed around those of α.

Chen and Hsieh, "Stabilizing Differentiable Architecture Search via Perturbation-based
Regularization" (SDARTS), ICML 2020, arXiv:2002.05283; settings of the authors' code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from tune_nas.config import SmoothingConfig
from tune_nas.search.objective import Objective, SeededBatch
from tune_nas.spaces import MixingWeights


class Smoothing(ABC):
    """Perturbs mixing weights within a radius that grows over the epochs.

    Args:
        config: The ``relaxation.smoothing`` section of a trial.
    """

    def __init__(self, config: SmoothingConfig) -> None:
        self.config = config
        self.radius = 0.0

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Set ε(e) = start + (end − start) · e / E for the epoch e, counted from 0, of E."""
        start, end = self.config.start, self.config.end
        self.radius = start + (end - start) * epoch / epochs

    @abstractmethod
    def around(self, objective: Objective, batch: SeededBatch) -> MixingWeights:
        """Return the mixing weights at which w's gradient on a batch is taken."""


def make_smoothing(config: SmoothingConfig) -> Smoothing | None:
    """Build the smoothing that a trial names; None for none."""
    return None
