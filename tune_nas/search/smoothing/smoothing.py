"""Base class of smoothing: mixing weights near those of a pass, only for w's gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tune_nas.config import SmoothingConfig
from tune_nas.search.objective import Objective, SeededBatch
from tune_nas.search.relaxation import Relaxation
from tune_nas.spaces import MixingWeights

Operations = Mapping[str, Tensor]
"""Operation weights by cell type, each (edges, operations)."""


class Smoothing(ABC):
    """Perturbs mixing weights within a radius that grows over the epochs.

    The result is in [0, 1] and, if the weights of an edge compete, keeps their sum. Decided edges,
    and operations that an edge does not have, are unchanged. α receives no gradient from it.

    Args:
        config: The ``relaxation.smoothing`` section of a trial.
    """

    def __init__(self, config: SmoothingConfig) -> None:
        self.config = config
        self.radius = 0.0

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Set the radius of epoch e (0-based) of E: see `RandomOptions.radius`."""
        self.radius = self.config.radius(epoch, epochs)

    def around(self, objective: Objective, batch: SeededBatch) -> MixingWeights:
        """Return the mixing weights for w's gradient on a batch."""
        with torch.no_grad():
            mixing = objective.mixing(batch, for_alphas=False)
        return with_operations(mixing, self.perturbed(objective, batch, mixing))

    @abstractmethod
    def perturbed(
        self, objective: Objective, batch: SeededBatch, mixing: MixingWeights
    ) -> Operations:
        """Return operation weights around those of a pass; no gradient flows through them.

        Args:
            objective: L(w, α).
            batch: The training batch; its seed determines the samples.
            mixing: The mixing weights of the pass, without their graph.
        """

    def moved_at_random(
        self, objective: Objective, batch: SeededBatch, mixing: MixingWeights
    ) -> Operations:
        """Return the operation weights moved uniformly within the radius, possibly invalid."""
        moved = {}
        for name, cell in mixing.items():
            weights = cell.operations
            generator = objective.draws.generator(
                batch.seed or 0, f"smoothing {name}", weights.device
            )
            step = torch.empty_like(weights).uniform_(
                -self.radius, self.radius, generator=generator
            )
            moved[name] = weights + step * movable(objective.relaxation, name, weights)
        return moved


def movable(relaxation: Relaxation, cell: str, weights: Tensor) -> Tensor:
    """Return the mask of the operation weights that may be perturbed: those of open edges, bool."""
    return relaxation.choices.undecided(cell, weights.device)


def with_operations(mixing: MixingWeights, operations: Operations) -> MixingWeights:
    """Return mixing weights with replaced operation weights."""
    return {name: replace(cell, operations=operations[name]) for name, cell in mixing.items()}
