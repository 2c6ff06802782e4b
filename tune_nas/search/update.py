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
from tune_nas.search.objective import (
    Batch,
    Found,
    Gradients,
    Objective,
    SeededBatch,
    combine,
)
from tune_nas.search.smoothing import Smoothing
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
    if config.level == "none":
        pair = (0.0, 0.0)
    elif config.level == "single":
        # α's other batch of the same images comes in the place of the valid batch
        pair = (0.0, 1.0) if config.alpha_batch == "separate" else (1.0, 0.0)
    elif config.level == "bilevel":
        pair = (0.0, 1.0)
    elif config.lambda_prime is not None:
        pair = (1.0 - config.lambda_prime, config.lambda_prime)
    else:
        lambda_ = 1.0 if config.lambda_ is None else config.lambda_
        pair = (0.0, 1.0) if math.isinf(lambda_) else (1.0, lambda_)
    if (
        config.level == "mixed"
        and config.order == 2
        and config.second_order_form == "train-weighted"
    ):
        pair = (pair[1], pair[0])
    return Coefficients(*pair)


class Update:
    """One search step: takes the gradients of w and α where the sequence says, and applies them.

    A term whose factor is 0 is not computed, so λ = 0 is single-level and λ' = 1 is bilevel to
    the last bit, and each costs no more than that. Every pass draws anew what is drawn; the passes
    of one second-order gradient share the draw of their batch.

    Args:
        config: The ``update`` section of a trial.
        objective: L(w, α).
        smoothing: Perturbs the operation weights while w steps; None for nothing of the kind.
    """

    def __init__(
        self, config: UpdateConfig, objective: Objective, smoothing: Smoothing | None = None
    ) -> None:
        self.config = config
        self.objective = objective
        self.smoothing = smoothing
        self.coefficients = coefficients(config)

    @property
    def needs_valid(self) -> bool:
        """Whether a step uses a valid batch."""
        return self.coefficients.valid != 0

    @property
    def moves_alphas(self) -> bool:
        """Whether a step moves α at all."""
        return self.needs_valid or self.coefficients.train != 0

    def step(
        self,
        train: Batch,
        valid: Batch | None,
        *,
        step_weights: Step,
        step_alphas: Step,
        sgd: Callable[[], SgdState],
    ) -> StepOutput:
        """Move w and α once.

        Args:
            train: The train batch.
            valid: The valid batch; None where ``needs_valid`` is false.
            step_weights: Moves w by given gradients.
            step_alphas: Moves α by given gradients.
            sgd: Gives the present state of w's optimiser, which order 2 looks ahead with.
        """
        if not self.moves_alphas:
            return self.step_weights_alone(train, step_weights)
        if self.config.sequence == "weights-first":
            output = self.step_weights_alone(train, step_weights)
            step_alphas(self._alpha_gradients(train, valid, sgd))
            return output
        if self.config.sequence == "alphas-first":
            step_alphas(self._alpha_gradients(train, valid, sgd))
            return self.step_weights_alone(train, step_weights)
        return self._simultaneous(train, valid, step_weights, step_alphas, sgd)

    def step_weights_alone(self, train: Batch, step_weights: Step) -> StepOutput:
        """Move w alone, once."""
        found = self._train_pass(self.objective.seeded(train))
        step_weights(found.weights)
        return _output(found)

    def _simultaneous(
        self,
        train: Batch,
        valid: Batch | None,
        step_weights: Step,
        step_alphas: Step,
        sgd: Callable[[], SgdState],
    ) -> StepOutput:
        """Take all gradients at the same (w, α), those of the train batch from one pass.

        Smoothing is for w alone: α then has a pass of its own.
        """
        smooth = self.smoothing is not None and self.smoothing.radius > 0
        on_train = self.objective.seeded(train)
        first_order = self.config.order == 1 and self.coefficients.train != 0
        shared = first_order and not smooth
        found = self._train_pass(on_train, want_alphas=shared)
        if self.config.order == 2:
            known = None if smooth else found.weights
            alpha_gradients = self._unrolled(on_train, valid, sgd, known)
        else:
            terms = [(1.0, self.objective.penalty())]
            if first_order:
                of_train = found.alphas if shared else self._alphas_on(on_train)
                terms.append((self.coefficients.train, of_train))
            if valid is not None and self.needs_valid:
                terms.append((self.coefficients.valid, self._alphas_on(valid)))
            alpha_gradients = combine(terms)
        step_alphas(alpha_gradients)
        step_weights(found.weights)
        return _output(found)

    def _train_pass(self, batch: SeededBatch, *, want_alphas: bool = False) -> Found:
        """Return ∇w and, where wanted, ∇α of the train loss from one pass."""
        mixing = None
        if self.smoothing is not None and self.smoothing.radius > 0:
            mixing = self.smoothing.around(self.objective, batch)
        return self.objective.differentiate(batch, weights=True, alphas=want_alphas, mixing=mixing)

    def _alpha_gradients(
        self, train: Batch, valid: Batch | None, sgd: Callable[[], SgdState]
    ) -> Gradients:
        if self.config.order == 2:
            return self._unrolled(self.objective.seeded(train), valid, sgd, None)
        terms = [(1.0, self.objective.penalty())]
        if self.coefficients.train != 0:
            terms.append((self.coefficients.train, self._alphas_on(train)))
        if valid is not None and self.needs_valid:
            terms.append((self.coefficients.valid, self._alphas_on(valid)))
        return combine(terms)

    def _alphas_on(self, batch: Batch | SeededBatch) -> Gradients:
        """Return ∇α alone; no weight gradient is computed."""
        seeded = batch if isinstance(batch, SeededBatch) else self.objective.seeded(batch)
        return self.objective.differentiate(seeded, weights=False, alphas=True).alphas

    def _unrolled(
        self,
        train: SeededBatch,
        valid: Batch | None,
        sgd: Callable[[], SgdState],
        weight_gradients: Gradients | None,
    ) -> Gradients:
        terms: list[tuple[float, Batch | SeededBatch]] = []
        if self.coefficients.train != 0:
            terms.append((self.coefficients.train, train))
        if valid is not None and self.needs_valid:
            terms.append((self.coefficients.valid, self.objective.seeded(valid)))
        found = unrolled_alpha_gradients(
            self.objective,
            train,
            terms,
            sgd=sgd(),
            config=self.config,
            train_gradients=weight_gradients,
        )
        return combine([(1.0, self.objective.penalty()), (1.0, found)])


def _output(found: Found) -> StepOutput:
    return StepOutput(found.loss, found.logits)
