"""Updates: whose gradient moves w and α, at which point, and in which order.

Single-level and bilevel: Liu et al., "DARTS", ICLR 2019, Sec. 2.2 and 2.3. Mixed level: He et al.,
"MiLeNAS", CVPR 2020, Eq. 5 and 6: α follows ∇α L_train + λ ∇α L_valid, w follows ∇w L_train.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tune_nas.config import UpdateConfig
from tune_nas.search.objective import Batch, Gradients, Objective, combine, gradients
from tune_nas.search.unrolled import SgdState, unrolled_alpha_gradients

Step = Callable[[Gradients], None]
"""Takes gradients and lets an optimiser move the parameters."""


@dataclass(frozen=True)
class StepOutput:
    """What the train pass of a step saw, without a host sync: loss (), logits (n, classes)."""

    train_loss: Tensor
    train_logits: Tensor


@dataclass(frozen=True)
class Coefficients:
    """The factors of the α objective: train · L_train + valid · L_valid."""

    train: float
    valid: float


def coefficients(config: UpdateConfig) -> Coefficients:
    """Return the factors of the two α gradients that level, λ or λ' mean.

    λ is used as written, (1, λ), and ``inf`` as its limit, (0, 1); λ' gives (1 − λ', λ').
    ``second_order_form: printed`` swaps the two at order 2.
    """
    if config.level == "single":
        pair = (1.0, 0.0)
    elif config.level == "bilevel":
        pair = (0.0, 1.0)
    elif config.lambda_prime is not None:
        pair = (1.0 - config.lambda_prime, config.lambda_prime)
    else:
        lambda_ = 1.0 if config.lambda_ is None else config.lambda_
        pair = (0.0, 1.0) if math.isinf(lambda_) else (1.0, lambda_)
    if config.level == "mixed" and config.order == 2 and config.second_order_form == "printed":
        pair = (pair[1], pair[0])
    return Coefficients(*pair)


class Update:
    """One search step: takes the gradients of w and α where the sequence says, and applies them.

    A term whose factor is 0 is not computed, so λ = 0 is single-level and λ' = 1 is bilevel to
    the last bit, and each costs no more than that.

    Args:
        config: The ``update`` section of a trial.
        objective: L(w, α).
    """

    def __init__(self, config: UpdateConfig, objective: Objective) -> None:
        self.config = config
        self.objective = objective
        self.coefficients = coefficients(config)

    @property
    def needs_valid(self) -> bool:
        """Whether a step uses a valid batch."""
        return self.coefficients.valid != 0

    def step(
        self,
        train: Batch,
        valid: Batch | None,
        *,
        step_weights: Step,
        step_alphas: Step,
        sgd: SgdState,
    ) -> StepOutput:
        """Move w and α once.

        Args:
            train: The train batch.
            valid: The valid batch; None where ``needs_valid`` is false.
            step_weights: Moves w by given gradients.
            step_alphas: Moves α by given gradients.
            sgd: The state of w's optimiser, which order 2 looks ahead with.
        """
        if self.config.sequence == "weights-first":
            output, weight_gradients, _ = self._train_pass(train, want_alphas=False)
            step_weights(weight_gradients)
            step_alphas(self._alpha_gradients(train, valid, sgd))
            return output
        if self.config.sequence == "alphas-first":
            step_alphas(self._alpha_gradients(train, valid, sgd))
            output, weight_gradients, _ = self._train_pass(train, want_alphas=False)
            step_weights(weight_gradients)
            return output
        return self._simultaneous(train, valid, step_weights, step_alphas, sgd)

    def _simultaneous(
        self,
        train: Batch,
        valid: Batch | None,
        step_weights: Step,
        step_alphas: Step,
        sgd: SgdState,
    ) -> StepOutput:
        """Take all gradients at the same (w, α), those of the train batch from one pass."""
        want_alphas = self.config.order == 1 and self.coefficients.train != 0
        output, weight_gradients, of_train = self._train_pass(train, want_alphas=want_alphas)
        if self.config.order == 2:
            alpha_gradients = self._unrolled(train, valid, sgd, weight_gradients)
        else:
            terms = [(self.coefficients.train, of_train)] if want_alphas else []
            if valid is not None and self.needs_valid:
                terms.append((self.coefficients.valid, self._alphas_on(valid)))
            alpha_gradients = combine(terms)
        step_alphas(alpha_gradients)
        step_weights(weight_gradients)
        return output

    def _train_pass(
        self, batch: Batch, *, want_alphas: bool
    ) -> tuple[StepOutput, Gradients, Gradients]:
        """Return the output, ∇w and, where wanted, ∇α of the train loss from one pass."""
        weights = self.objective.weight_list
        parameters = weights + (self.objective.alpha_list if want_alphas else [])
        loss, logits = self.objective.loss(batch)
        found = gradients(loss, parameters)
        output = StepOutput(loss.detach(), logits.detach())
        return output, found[: len(weights)], found[len(weights) :]

    def _alpha_gradients(self, train: Batch, valid: Batch | None, sgd: SgdState) -> Gradients:
        if self.config.order == 2:
            return self._unrolled(train, valid, sgd, None)
        terms = []
        if self.coefficients.train != 0:
            terms.append((self.coefficients.train, self._alphas_on(train)))
        if valid is not None and self.needs_valid:
            terms.append((self.coefficients.valid, self._alphas_on(valid)))
        return combine(terms)

    def _alphas_on(self, batch: Batch) -> Gradients:
        """Return ∇α alone; no weight gradient is computed."""
        weights = self.objective.weight_list
        for weight in weights:
            weight.requires_grad_(False)
        try:
            loss, _ = self.objective.loss(batch)
            return gradients(loss, self.objective.alpha_list)
        finally:
            for weight in weights:
                weight.requires_grad_(True)

    def _unrolled(
        self,
        train: Batch,
        valid: Batch | None,
        sgd: SgdState,
        weight_gradients: Gradients | None,
    ) -> Gradients:
        terms = [(self.coefficients.train, train)] if self.coefficients.train != 0 else []
        if valid is not None and self.needs_valid:
            terms.append((self.coefficients.valid, valid))
        return unrolled_alpha_gradients(
            self.objective,
            train,
            terms,
            sgd=sgd,
            config=self.config,
            train_gradients=weight_gradients,
        )
