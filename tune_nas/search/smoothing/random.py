"""SDARTS-RS: random smoothing."""

from __future__ import annotations

from tune_nas.search.objective import Objective, SeededBatch
from tune_nas.search.smoothing.legal import scale_to_sum
from tune_nas.search.smoothing.smoothing import Operations, Smoothing
from tune_nas.spaces import MixingWeights


class RandomSmoothing(Smoothing):
    """Moves the weights uniformly within the radius, clips them to [0, 1], restores their sum."""

    def perturbed(
        self, objective: Objective, batch: SeededBatch, mixing: MixingWeights
    ) -> Operations:
        """Return the weights moved by noise from the batch's seed."""
        relaxation = objective.relaxation.for_weights()
        moved = self.moved_at_random(objective, batch, mixing)
        return {
            name: scale_to_sum(moved[name], cell.operations.sum(dim=1, keepdim=True))
            if relaxation.competes
            else moved[name].clamp(0.0, 1.0)
            for name, cell in mixing.items()
        }
