"""Several sampled architectures per step, weighted by their likelihood.

Casale, Gordon and Fusi, "Probabilistic Neural Architecture Search" (PARSEC), 2019,
arXiv:1902.05116. There is no published code; how it is read is in docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tune_nas.config import UpdateConfig
from tune_nas.search.objective import (
    Batch,
    Gradients,
    Objective,
    SeededBatch,
    combine,
    gradients,
)
from tune_nas.search.relaxation.categorical import Categorical
from tune_nas.search.smoothing import Smoothing
from tune_nas.search.unrolled import SgdState
from tune_nas.search.update import Step, StepOutput, Update


class ImportanceUpdate(Update):
    """A step with K architectures α_k ~ π = softmax(α), weighted by ω_k ∝ p(y | w, α_k).

    w follows Σ ω_k ∇w log p(y | w, α_k) on the training batch and α follows
    Σ ω_k ∇ log p(α_k | π), both at the same (w, α), with the same samples and weights. The
    likelihood is that of the validation batch (bilevel) or of the training batch (single level). At
    K = 1, ω is 1: w has the gradient of a sampled path, and α only increases the probability of
    its operations, whatever their loss.

    Args:
        config: The ``update`` section of a trial.
        objective: L(w, α).
        relaxation: Its relaxation.
    """

    def __init__(self, config: UpdateConfig, objective: Objective, relaxation: Categorical) -> None:
        super().__init__(config, objective)
        self.relaxation = relaxation

    def step(
        self,
        train: Batch,
        valid: Batch | None,
        *,
        step_weights: Step,
        step_alphas: Step,
        sgd: Callable[[], SgdState],
    ) -> StepOutput:
        """Update w and α once: see `Update.step`."""
        if not self.moves_alphas:
            return self.step_weights_alone(train, step_weights)
        samples = range(self.relaxation.config.samples)
        batches = [self.objective.seeded(train) for _ in samples]
        passes = [
            self.objective.differentiate(batch, weights=True, alphas=False) for batch in batches
        ]
        losses = torch.stack([found.loss for found in passes])
        judged, judging = train, losses
        if valid is not None and self.needs_valid:
            judged = valid
            judging = torch.stack([self._loss(valid, batch.seed) for batch in batches])
        images = len(judged[1]) if self.relaxation.config.likelihood == "batch" else 1
        weights = importance_weights(-images * judging)
        each_pass = zip(weights.unbind(), passes, strict=True)
        of_weights = combine([(weight, found.weights) for weight, found in each_pass])
        of_alphas = combine(
            [(1.0, self.objective.penalty()), (1.0, self._of_alphas(batches, weights))]
        )
        self._move_alphas(step_alphas, of_alphas, [])
        step_weights(of_weights)
        logs = torch.stack([found.logits.log_softmax(dim=1) for found in passes])
        mixed = (logs + weights.log()[:, None, None]).logsumexp(dim=0)
        return StepOutput((weights * losses).sum(), mixed)

    @torch.no_grad()
    def _loss(self, batch: Batch, seed: int | None) -> Tensor:
        """Return the loss of the architecture of a seed on a batch, ()."""
        return self.objective.loss(SeededBatch(*batch, seed))[0]

    def _of_alphas(self, batches: Sequence[SeededBatch], weights: Tensor) -> Gradients:
        """Return −Σ ω_k ∇ log p(α_k | π)."""
        objective = self.objective
        logs = [
            self.relaxation.log_probability(objective.alphas, batch.seed, objective.draws.generator)
            for batch in batches
            if batch.seed is not None
        ]
        total = (weights * torch.stack(logs)).sum()
        return gradients(-total, objective.alpha_list)


def make_update(config: UpdateConfig, objective: Objective, smoothing: Smoothing | None) -> Update:
    """Return the update of a trial, according to its relaxation."""
    relaxation = objective.relaxation
    if isinstance(relaxation, Categorical) and relaxation.config.gradient == "importance":
        return ImportanceUpdate(config, objective, relaxation)
    return Update(config, objective, smoothing)


def importance_weights(log_likelihoods: Tensor) -> Tensor:
    """Return ω_k = p_k / Σ_j p_j from the log likelihoods log p_k, both (K,)."""
    return log_likelihoods.softmax(dim=0)
