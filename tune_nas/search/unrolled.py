"""Second order: the gradient of α through one unrolled step of w.

Liu et al., "DARTS", ICLR 2019, Eq. 7 and 8; He et al., "MiLeNAS", CVPR 2020, Sec. 3.1. With
w' = w − ξ·d(w, α), where d is the optimizer's direction and s = ∂d/∂(∇w L_train):

    dF(w', α)/dα = ∇α F(w', α) − ξ·s·∇²_{α,w} L_train(w, α) · ∇w' F(w', α)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    norm,
)


@dataclass(frozen=True)
class SgdState:
    """State of w's optimizer for the unrolled step.

    Args:
        learning_rate: ξ; a tensor () if it is read on the device.
        momentum: Momentum factor.
        weight_decay: Factor of w in the direction.
        nesterov: Whether to use Nesterov momentum.
        buffers: Momentum buffer per weight; None before its first step.
        moving: Per weight, whether the optimizer updates it without a gradient; None for none of
            them.
    """

    learning_rate: float | Tensor
    momentum: float
    weight_decay: float
    nesterov: bool
    buffers: Sequence[Tensor | None]
    moving: Sequence[bool] | None = None


def unrolled_alpha_gradients(
    objective: Objective,
    train: Batch | SeededBatch,
    terms: Sequence[tuple[float, Batch | SeededBatch]],
    *,
    sgd: SgdState,
    config: UpdateConfig,
    train_gradients: Gradients | None = None,
) -> Gradients:
    """Return dF(w'(α), α)/dα for F = Σ factor · L(batch).

    Args:
        objective: L(w, α).
        train: The batch of the unrolled step.
        terms: Factors and batches of F.
        sgd: The optimizer's state; its momentum is used if ``config.unrolled_momentum``.
        config: ``hessian`` (finite-difference or exact) and ``epsilon``.
        train_gradients: ∇w L_train(w, α) if already known (only for finite differences).
    """
    if config.hessian == "exact":
        with objective.keeping_statistics(), objective.keeping_activations():
            return _exact(objective, train, terms, sgd, config)
    return _finite_difference(objective, train, terms, sgd, config, train_gradients)


def _exact(
    objective: Objective,
    train: Batch | SeededBatch,
    terms: Sequence[tuple[float, Batch | SeededBatch]],
    sgd: SgdState,
    config: UpdateConfig,
) -> Gradients:
    loss, _ = objective.loss(train)
    found = gradients(loss, objective.weight_list, create_graph=True)
    unrolled = _unrolled_weights(objective.weight_list, found, sgd, config)
    total = torch.stack([factor * objective.loss(batch, unrolled)[0] for factor, batch in terms])
    return gradients(total.sum(), objective.alpha_list)


def _finite_difference(
    objective: Objective,
    train: Batch | SeededBatch,
    terms: Sequence[tuple[float, Batch | SeededBatch]],
    sgd: SgdState,
    config: UpdateConfig,
    train_gradients: Gradients | None,
) -> Gradients:
    weights = objective.weight_list
    if train_gradients is None:
        with objective.keeping_statistics():
            train_gradients = objective.differentiate(train, weights=True, alphas=False).weights
    with torch.no_grad():
        unrolled = _unrolled_weights(weights, train_gradients, sgd, config)
    with objective.at(unrolled):
        passes = [
            (factor, objective.differentiate(batch, weights=True, alphas=True))
            for factor, batch in terms
        ]
        vector = combine([(factor, found.weights) for factor, found in passes])
        direct = combine([(factor, found.alphas) for factor, found in passes])
    epsilon = config.epsilon / norm(vector)
    ahead = _alphas_at(objective, train, _moved(weights, vector, epsilon))
    behind = _alphas_at(objective, train, _moved(weights, vector, -epsilon))
    factor = sgd.learning_rate * _slope(sgd, config) / (2 * epsilon)
    return [
        _minus(gradient, factor, plus, minus)
        for gradient, plus, minus in zip(direct, ahead, behind, strict=True)
    ]


def _minus(
    direct: Tensor | None, factor: Tensor, plus: Tensor | None, minus: Tensor | None
) -> Tensor | None:
    if direct is None or plus is None or minus is None:
        return direct
    return direct - factor * (plus - minus)


def _alphas_at(
    objective: Objective, batch: Batch | SeededBatch, weights: Sequence[Tensor]
) -> Gradients:
    with objective.at(weights):
        return objective.differentiate(batch, weights=False, alphas=True).alphas


def _moved(weights: Sequence[Tensor], vector: Gradients, step: Tensor) -> list[Tensor]:
    """Return weights + step · vector."""
    places = [place for place, along in enumerate(vector) if along is not None]
    with torch.no_grad():
        scaled = torch._foreach_mul([along for along in vector if along is not None], step)
        found = torch._foreach_add([weights[place] for place in places], scaled)
        moved = list(weights)  # weights without gradient are unchanged
        for place, weight in zip(places, found, strict=True):
            moved[place] = weight
        return moved


def _unrolled_weights(
    weights: Sequence[Tensor], train_gradients: Gradients, sgd: SgdState, config: UpdateConfig
) -> list[Tensor]:
    """Return w' after a step of torch's SGD from w, including momentum and weight decay."""
    momentum = sgd.momentum if config.unrolled_momentum else 0.0
    moving = sgd.moving or [False] * len(weights)
    moved = []
    for weight, gradient, buffer, moves in zip(
        weights, train_gradients, sgd.buffers, moving, strict=True
    ):
        if gradient is None and not moves:  # SGD skips such a weight
            moved.append(weight)
            continue
        direction = sgd.weight_decay * weight
        if gradient is not None:
            direction = gradient + direction
        if momentum != 0:
            ahead = direction if buffer is None else direction + momentum * buffer
            direction = direction + momentum * ahead if sgd.nesterov else ahead
        moved.append(weight - sgd.learning_rate * direction)
    return moved


def _slope(sgd: SgdState, config: UpdateConfig) -> float:
    nesterov = sgd.nesterov and config.unrolled_momentum
    return 1.0 + sgd.momentum if nesterov else 1.0
