"""Optimizers whose steps do not depend on changing host values.

torch's SGD copies a tensor learning rate back to the host, and its Adam for CUDA graphs has its
bias corrections in float32, where 1 − 0.999 has four digits. States are as in torch, so that
checkpoints are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tune_nas.eager_optimizers import EagerAdam, EagerSgd


class CapturableSgd(EagerSgd):
    """torch's SGD, equal up to rounding, with its learning rate on the device.

    Attributes:
        rate: The learning rate, (); `set_rate` sets it and the one of the parameter group.
    """

    def __init__(self, params: Sequence[Tensor], **options: Any) -> None:
        super().__init__(params, **options)
        self.rate = torch.full((), options["lr"], dtype=params[0].dtype, device=params[0].device)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate."""
        self.param_groups[0]["lr"] = rate
        self.rate.fill_(rate)

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        (group,) = self.param_groups
        parameters = [each for each in group["params"] if each.grad is not None]
        if not parameters:
            return
        gradients = [each.grad for each in parameters]
        directions = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        if group["momentum"]:
            buffers = self._add_to_buffers(parameters, directions, group["momentum"])
            if group["nesterov"]:
                torch._foreach_add_(directions, buffers, alpha=group["momentum"])
            else:
                directions = buffers
        torch._foreach_sub_(parameters, torch._foreach_mul(directions, self.rate))

    def _add_to_buffers(
        self, parameters: list[Tensor], directions: Sequence[Tensor], momentum: float
    ) -> list[Tensor]:
        """Update the momentum of each parameter; a new one is initialized with the direction."""
        moving, by = [], []
        for parameter, direction in zip(parameters, directions, strict=True):
            buffer = self.state[parameter].get("momentum_buffer")
            if buffer is None:
                self.state[parameter]["momentum_buffer"] = direction.clone()
            else:
                moving.append(buffer)
                by.append(direction)
        if moving:
            torch._foreach_mul_(moving, momentum)
            torch._foreach_add_(moving, by)
        return [self.state[parameter]["momentum_buffer"] for parameter in parameters]


class CapturableAdam(EagerAdam):
    """torch's Adam, equal up to rounding, with its step count on the device."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        (group,) = self.param_groups
        for parameter in group["params"]:
            if parameter.grad is not None:
                self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        if state["step"].device != parameter.device:  # torch's, from a checkpoint
            state["step"] = state["step"].to(parameter.device)
        state["step"] += 1
        steps = state["step"].double()
        of_mean, of_square = (1.0 - beta**steps for beta in group["betas"])
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        beta_mean, beta_square = group["betas"]
        mean = state["exp_avg"].lerp_(gradient, 1.0 - beta_mean)
        square = state["exp_avg_sq"].mul_(beta_square)
        square.addcmul_(gradient, gradient, value=1.0 - beta_square)
        scale = (square.sqrt() / of_square.sqrt()).add_(group["eps"])
        parameter.sub_(group["lr"] / of_mean * (mean / scale))
