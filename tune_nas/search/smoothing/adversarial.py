"""SDARTS-ADV: smoothing by an adversary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from tune_nas.search.objective import Objective, SeededBatch, gradients
from tune_nas.search.relaxation import Relaxation
from tune_nas.search.smoothing.legal import project
from tune_nas.search.smoothing.smoothing import Operations, Smoothing, movable, with_operations
from tune_nas.spaces import MixingWeights


class AdversarialSmoothing(Smoothing):
    """SDARTS-ADV: weights within the radius at which the batch's loss is high.

    From a random start, takes ``steps`` signed gradient steps of size 2ε / steps, each projected
    onto valid weights within ε. (The authors' code clips to the radius, then to [0, 1], and divides
    by the sum, which can leave the radius again.) As there, the supernet is in evaluation mode
    meanwhile, and weights that do not increase the loss are not used.
    """

    def perturbed(
        self, objective: Objective, batch: SeededBatch, mixing: MixingWeights
    ) -> Operations:
        """Return the last weights of the ascent, or those of the pass if its loss is higher."""
        relaxation = objective.relaxation.for_weights()
        clean = {name: cell.operations for name, cell in mixing.items()}
        start = self.moved_at_random(objective, batch, mixing)
        with _evaluation_mode(objective.supernet):
            found = self._project(relaxation, clean, start)
            for _ in range(self.config.steps):
                found = self._ascend(objective, batch, mixing, clean, found)
            with torch.no_grad():
                before, _ = objective.loss(batch, mixing=mixing)
                after, _ = objective.loss(batch, mixing=with_operations(mixing, found))
        return {name: torch.where(after > before, found[name], clean[name]) for name in clean}

    def _ascend(
        self,
        objective: Objective,
        batch: SeededBatch,
        mixing: MixingWeights,
        clean: Operations,
        at: Operations,
    ) -> Operations:
        leaves = {name: weights.detach().requires_grad_() for name, weights in at.items()}
        loss, _ = objective.loss(batch, mixing=with_operations(mixing, leaves))
        found = gradients(loss, list(leaves.values()))
        size = 2 * self.radius / self.config.steps
        moved = {
            name: at[name] if gradient is None else at[name] + size * gradient.sign()
            for name, gradient in zip(leaves, found, strict=True)
        }
        return self._project(objective.relaxation.for_weights(), clean, moved)

    def _project(self, relaxation: Relaxation, clean: Operations, moved: Operations) -> Operations:
        projected = {}
        for name, weights in clean.items():
            open_ = movable(relaxation, name, weights)
            low = torch.where(open_, (weights - self.radius).clamp(min=0.0), weights)
            high = torch.where(open_, (weights + self.radius).clamp(max=1.0), weights)
            projected[name] = (
                project(moved[name], low, high, weights.sum(dim=1, keepdim=True))
                if relaxation.competes
                else torch.minimum(torch.maximum(moved[name], low), high)
            )
        return projected


@contextmanager
def _evaluation_mode(supernet: nn.Module) -> Iterator[None]:
    mode = supernet.training
    supernet.eval()
    try:
        yield
    finally:
        supernet.train(mode)
