"""Updates: the gradients that update w and α, where they are evaluated, and their order.

Single-level and bilevel: Liu et al., "DARTS", ICLR 2019, Sec. 2.2 and 2.3. Mixed level: He et al.,
"MiLeNAS", CVPR 2020, Eq. 5 and 6: α follows ∇α L_train + λ ∇α L_valid, w follows ∇w L_train.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
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
from tune_nas.search.relaxation.relaxation import AlphaStep
from tune_nas.search.smoothing import Smoothing
from tune_nas.search.unrolled import SgdState, unrolled_alpha_gradients

Step = Callable[[Gradients], None]
"""Takes gradients and applies them with an optimizer."""


@dataclass(frozen=True)
class StepOutput:
    """Results of the training pass of a step, without a host sync: loss (), logits (n, classes)."""

    train_loss: Tensor
    train_logits: Tensor


@dataclass(frozen=True)
class Coefficients:
    """The factors of the α objective: train · L_train + valid · L_valid."""

    train: float
    valid: float


def coefficients(config: UpdateConfig) -> Coefficients:
    """Return the factors of the two α gradients, given by level, λ or λ'.

    λ gives (1, λ), and ``inf`` its limit, (0, 1); λ' gives (1 − λ', λ'). At order 2,
    ``second_order_form: train-weighted`` swaps the two.
    """
    if config.level in ("none", "policy"):
        pair = (0.0, 0.0)
    elif config.level == "single":
        # α's separate batch of the same images replaces the validation batch
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
    """One search step: evaluates the gradients of w and α in the given sequence and applies them.

    A term whose factor is 0 is not computed, so λ = 0 equals single-level and λ' = 1 equals bilevel
    bit for bit, at the same cost. Every pass samples again; the passes of one second-order gradient
    share the samples of their batch.

    Args:
        config: The ``update`` section of a trial.
        objective: L(w, α).
        smoothing: Perturbs the operation weights in w steps; None for no perturbation.
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
        """Whether a step uses a validation batch."""
        return self.coefficients.valid != 0

    @property
    def moves_alphas(self) -> bool:
        """Whether a step updates α."""
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
        """Update w and α once.

        Args:
            train: The training batch.
            valid: The validation batch; None if ``needs_valid`` is false.
            step_weights: Updates w with given gradients.
            step_alphas: Updates α with given gradients.
            sgd: Returns the current state of w's optimizer, for the unrolled step of order 2.
        """
        if not self.moves_alphas:
            return self.step_weights_alone(train, step_weights)
        if self.config.sequence == "weights-first":
            output = self.step_weights_alone(train, step_weights)
            self._move_alphas(step_alphas, *self._alpha_gradients(train, valid, sgd))
            return output
        if self.config.sequence == "alphas-first":
            self._move_alphas(step_alphas, *self._alpha_gradients(train, valid, sgd))
            return self.step_weights_alone(train, step_weights)
        return self._simultaneous(train, valid, step_weights, step_alphas, sgd)

    def step_weights_alone(self, train: Batch, step_weights: Step) -> StepOutput:
        """Update only w, once."""
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
        """Evaluate all gradients at the same (w, α), those of the training batch in one pass.

        Smoothing is only for w, and w may have another relaxation: α then has a separate pass.
        """
        relaxation = self.objective.relaxation
        smooth = self.smoothing is not None and self.smoothing.radius > 0
        apart = smooth or relaxation.for_weights() is not relaxation
        on_train = self.objective.seeded(train)
        first_order = self.config.order == 1 and self.coefficients.train != 0
        shared = first_order and not apart
        found = self._train_pass(on_train, want_alphas=shared)
        if self.config.order == 2:
            known = None if smooth else found.weights
            moved = self._unrolled(on_train, valid, sgd, known)
        else:
            moved = self._first_order(on_train, valid, found.alphas if shared else None)
        self._move_alphas(step_alphas, *moved)
        step_weights(found.weights)
        return _output(found)

    def _train_pass(self, batch: SeededBatch, *, want_alphas: bool = False) -> Found:
        """Return ∇w and, if requested, ∇α of the training loss from one pass."""
        mixing = None
        if self.smoothing is not None and self.smoothing.radius > 0:
            mixing = self.smoothing.around(self.objective, batch)
        return self.objective.differentiate(batch, weights=True, alphas=want_alphas, mixing=mixing)

    def _alpha_gradients(
        self, train: Batch, valid: Batch | None, sgd: Callable[[], SgdState]
    ) -> tuple[Gradients, list[int]]:
        """Return ∇α and the seeds of the passes that it comes from."""
        if self.config.order == 2:
            return self._unrolled(self.objective.seeded(train), valid, sgd, None)
        on_train = self.objective.seeded(train) if self.coefficients.train != 0 else None
        return self._first_order(on_train, valid, None)

    def _first_order(
        self, train: SeededBatch | None, valid: Batch | None, of_train: Gradients | None
    ) -> tuple[Gradients, list[int]]:
        """Return ∇α of the terms and the seeds of their passes.

        Args:
            train: The training batch; read if its factor is not 0.
            valid: The validation batch; None if its factor is 0.
            of_train: ∇α of the training loss if it is known.
        """
        terms, seeds = [(1.0, self.objective.penalty())], list[int]()
        if train is not None and self.coefficients.train != 0:
            gradient = self._alphas_on(train) if of_train is None else of_train
            terms.append((self.coefficients.train, gradient))
            seeds.extend(_seeds([train]))
        if valid is not None and self.needs_valid:
            on_valid = self.objective.seeded(valid)
            terms.append((self.coefficients.valid, self._alphas_on(on_valid)))
            seeds.extend(_seeds([on_valid]))
        return combine(terms), seeds

    def _alphas_on(self, batch: SeededBatch) -> Gradients:
        """Return only ∇α; no weight gradient is computed."""
        return self.objective.differentiate(batch, weights=False, alphas=True).alphas

    def _unrolled(
        self,
        train: SeededBatch,
        valid: Batch | None,
        sgd: Callable[[], SgdState],
        weight_gradients: Gradients | None,
    ) -> tuple[Gradients, list[int]]:
        terms: list[tuple[float, SeededBatch]] = []
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
        gradients = combine([(1.0, self.objective.penalty()), (1.0, found)])
        return gradients, _seeds([batch for _, batch in terms])

    def _move_alphas(self, step_alphas: Step, gradients: Gradients, seeds: list[int]) -> None:
        """Update α, and let the relaxation adjust it."""
        objective = self.objective
        if not objective.relaxation.adjusts_alphas:
            step_alphas(gradients)
            return
        before = {name: alpha.detach().clone() for name, alpha in objective.alphas.items()}
        step_alphas(gradients)
        with torch.no_grad():
            objective.relaxation.adjust_alphas(
                AlphaStep(
                    before, objective.alphas, objective.betas, seeds, objective.draws.generator
                )
            )


def _seeds(batches: Sequence[SeededBatch]) -> list[int]:
    return [batch.seed for batch in batches if batch.seed is not None]


def _output(found: Found) -> StepOutput:
    return StepOutput(found.loss, found.logits)
