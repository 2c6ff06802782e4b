"""Multiplicative steps of α on the simplex, and their size by the number of steps.

GAEA: Li, Khodak, Balcan and Talwalkar, "Geometry-Aware Gradient Algorithms for Neural Architecture
Search", ICLR 2021, arXiv:2004.07802, the authors' code is liamcli/gaea_release. XNAS: Nayman, Noy,
Ridnik, Friedman, Jin and Zelnik-Manor, "XNAS: Neural Architecture Search with Expert Advice",
NeurIPS 2019, arXiv:1906.08031; read in microsoft/archai, as its authors published no search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tune_nas.config import OptimizerConfig, TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.spaces import Space
from tune_nas.without_compiler import without_compiler

LIMIT = 50.0  # of |log factor| of a step, so that no product overflows: e^50 is beyond any clamp


@without_compiler
class ExponentiatedGradient(torch.optim.Optimizer):
    """α ← α · exp(−η (g + decay · log α)) for each entry of the parameters, all ≥ 0.

    With a projection to the simplex after each step (`Relaxation.adjust_alphas`), this is mirror
    descent with the negative entropy: the minimizer over the simplex of η ⟨g + decay · log α, p⟩ +
    KL(p ‖ α). The decay is the gradient of decay · Σ α log α up to a constant. An entry of 0 stays
    0.

    Args:
        params: The parameters.
        lr: η.
        weight_decay: The decay.
        bound: L: each entry of g is clipped to [−L, L]; None for no bound.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        bound: float | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "bound": bound})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _move(parameter, parameter.grad, group["lr"], group)


def _move(parameter: Tensor, gradient: Tensor, rate: float, group: dict[str, float | None]) -> None:
    bound, decay = group["bound"], group["weight_decay"]
    if bound is not None:
        gradient = gradient.clamp(-bound, bound)
    if decay:
        logs = parameter.clamp(min=torch.finfo(parameter.dtype).tiny).log()
        gradient = gradient.add(logs, alpha=decay)
    parameter.mul_((gradient * -rate).clamp(-LIMIT, LIMIT).exp())


def regret_rate(operations: int, rounds: int, bound: float) -> float:
    """Return η = √(2 ln N / (T L²)), which minimizes XNAS's bound on the regret.

    Args:
        operations: N, the number of operations of an edge.
        rounds: T, the number of steps.
        bound: L, the bound of the rewards.
    """
    return math.sqrt(2.0 * math.log(operations) / rounds) / bound


def alpha_steps(trial: TrialConfig, steps_per_epoch: int, epochs: int | None = None) -> int:
    """Return the number of steps of α in the first search epochs of a trial.

    Args:
        trial: The trial.
        steps_per_epoch: Number of w steps per epoch.
        epochs: Number of epochs; None for all.
    """
    update, schedule = trial.update, trial.schedule
    length = schedule.epochs if epochs is None else min(epochs, schedule.epochs)
    return sum(
        math.ceil(steps_per_epoch / own.weight_steps)
        for epoch, own in enumerate(map(update.in_epoch, range(length)))
        if trial.moves_alphas(epoch) and own.level != "none"
    )


def step_size(trial: TrialConfig, space: Space, steps_per_epoch: int) -> float:
    """Return η of a trial with ``exponentiated``, by its length with ``step_rule: regret``.

    N is the largest number of operations of an edge of the space, T the number of steps of α in
    the trial. Both are our reading: XNAS counts each image in each cell as a round.

    Args:
        trial: The trial.
        space: Its space.
        steps_per_epoch: Number of w steps per epoch.
    """
    alphas = trial.optimizer.alphas
    if alphas.step_rule == "constant":
        return alphas.step_size
    assert alphas.reward_bound is not None
    operations = max(len(row) for cell in space.cells.values() for row in cell.operations)
    rounds = max(1, alpha_steps(trial, steps_per_epoch))
    return regret_rate(max(2, operations), rounds, alphas.reward_bound)


def with_step_size(trial: TrialConfig, space: Space, steps_per_epoch: int) -> OptimizerConfig:
    """Return the section ``optimizer`` with the η that `step_size` returns.

    Raises:
        ConfigError: If no step of this η can be made.
    """
    config = trial.optimizer
    if config.alphas.kind != "exponentiated":
        return config
    size = step_size(trial, space, steps_per_epoch)
    decay, bound = config.alphas.weight_decay, config.alphas.reward_bound
    if config.alphas.step_rule == "regret" and (math.isinf(size) or size * decay >= 1):
        raise ConfigError(
            f"optimizer.alphas.reward_bound is {bound:g}, at which optimizer.alphas.step_rule "
            f"'regret' takes a step size of {size:g}; × weight_decay, {decay:g}, it must be < 1: a "
            "step multiplies log α by 1 − it"
        )
    return config.model_copy(
        update={"alphas": config.alphas.model_copy(update={"step_size": size})}
    )
