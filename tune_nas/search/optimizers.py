"""The two optimizers of a search: SGD on w; a shipped or a custom one on α and β."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tune_nas import manifest
from tune_nas.checkpoint import State
from tune_nas.config import AlphasOptimizer, OptimizerConfig, TrialConfig
from tune_nas.eager_optimizers import EagerAdam, EagerSgd
from tune_nas.errors import ConfigError
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.capturable import CapturableAdam, CapturableSgd
from tune_nas.search.exponentiated import ExponentiatedGradient
from tune_nas.search.objective import Gradients
from tune_nas.search.unrolled import SgdState
from tune_nas.training import cosine
from tune_nas.user_code import load_named, said

_ALPHAS = "optimizer.alphas.kind"


class Optimizers:
    """Updates w and α with given gradients.

    Args:
        config: The ``optimizer`` section of a trial.
        supernet: Holds w.
        alphas: α by cell type. Rows of decided and pruned edges are not updated.
        betas: β by cell type.
        choices: The decided and pruned edges.
        capturable: Whether a step must not depend on changing host values, for CUDA graphs.

    Raises:
        ConfigError: If a custom optimizer of α cannot be created.
    """

    def __init__(
        self,
        config: OptimizerConfig,
        supernet: nn.Module,
        alphas: Mapping[str, Tensor],
        betas: Mapping[str, Tensor],
        choices: CandidateMask,
        capturable: bool = False,
    ) -> None:
        self.config, self._capturable = config, capturable
        self._alphas, self._choices = alphas, choices
        self._architecture = [*alphas.values(), *betas.values()]
        self._weight_decay = config.weights.weight_decay
        self._supernet: nn.Module | None = None
        self.restart_alphas()
        self.restart_weights(supernet)

    def restart_weights(self, supernet: nn.Module) -> None:
        """Reset w's optimizer, for the weights of a supernet."""
        config = self.config.weights
        self._parameters = list(supernet.parameters())
        if supernet is not self._supernet:
            # Whether each weight has had a gradient in a step.
            self._supernet, self._trained = supernet, [False] * len(self._parameters)
        kind = CapturableSgd if self._capturable else EagerSgd
        self.weights: torch.optim.SGD = kind(
            self._parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=self._weight_decay,
            nesterov=config.nesterov,
        )

    def restart_alphas(self) -> None:
        """Reset α's optimizer."""
        self.alphas = make_alphas_optimizer(
            self._architecture, self.config.alphas, self._capturable
        )

    @property
    def weight_decay(self) -> float:
        """The weight decay of w."""
        return self._weight_decay

    def set_weight_decay(self, weight_decay: float) -> None:
        """Set w's weight decay, also for an optimizer that is restarted."""
        self._weight_decay = weight_decay
        self.weights.param_groups[0]["weight_decay"] = weight_decay

    def set_learning_rate(self, rate: float) -> None:
        """Set w's learning rate."""
        if isinstance(self.weights, CapturableSgd):
            self.weights.set_rate(rate)
        else:
            self.weights.param_groups[0]["lr"] = rate

    def step_weights(self, gradients: Gradients) -> None:
        """Update w with the clipped gradient."""
        if self.config.weights.unsampled == "update":
            gradients = self._with_zeros(gradients)
        _give(self._parameters, gradients)
        if self.config.weights.clip > 0:
            torch.nn.utils.clip_grad_norm_(self._parameters, self.config.weights.clip)
        self.weights.step()
        self.weights.zero_grad(set_to_none=True)

    def _with_zeros(self, gradients: Gradients) -> Gradients:
        """Return gradients with 0 for weights without one that had one in an earlier step."""
        self._trained = [
            trained or gradient is not None
            for trained, gradient in zip(self._trained, gradients, strict=True)
        ]
        return [
            torch.zeros_like(parameter) if gradient is None and trained else gradient
            for parameter, gradient, trained in zip(
                self._parameters, gradients, self._trained, strict=True
            )
        ]

    def step_alphas(self, gradients: Gradients) -> None:
        """Update α and β; α of edges that are no longer open is unchanged."""
        _give(self._architecture, gradients)
        closed = {
            name: self._choices.closed(name, each.device) for name, each in self._alphas.items()
        }
        kept = {
            name: self._alphas[name].detach().clone()
            for name, rows in closed.items()
            if rows is not None
        }
        self.alphas.step()
        self.alphas.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, rows in closed.items():
                if rows is not None:
                    alpha = self._alphas[name]
                    alpha.copy_(torch.where(rows[:, None], kept[name], alpha))

    def sgd_state(self) -> SgdState:
        """Return the state of w's optimizer that an unrolled step needs."""
        group = self.weights.param_groups[0]
        weights = self.weights
        return SgdState(
            learning_rate=weights.rate if isinstance(weights, CapturableSgd) else group["lr"],
            momentum=group["momentum"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            buffers=[
                self.weights.state[parameter].get("momentum_buffer")
                for parameter in group["params"]
            ],
            moving=self._trained if self.config.weights.unsampled == "update" else None,
        )

    def state_dict(self) -> State:
        """Return the states of both and, if needed, which weights have been trained by a step."""
        state: State = {
            "weights": self.weights.state_dict(),
            "alphas": self.alphas.state_dict(),
        }
        if self.config.weights.unsampled == "update":
            state["trained"] = list(self._trained)
        return state

    def load_state_dict(self, state: State) -> None:
        """Restore the states."""
        self.weights.load_state_dict(state["weights"])
        self.set_learning_rate(self.weights.param_groups[0]["lr"])
        self._weight_decay = self.weights.param_groups[0]["weight_decay"]
        self.alphas.load_state_dict(state["alphas"])
        self._trained = list(state.get("trained", self._trained))


def alphas_rate(config: AlphasOptimizer) -> float:
    """Return α's learning rate, or the size η of its multiplicative steps."""
    return config.step_size if config.kind == "exponentiated" else config.learning_rate


def scheduled_rate(trial: TrialConfig, epoch: int) -> float:
    """Return w's learning rate in an epoch (0-based) of a search.

    A cosine over all epochs, or over those of a stage if the schedule restarts with each.
    """
    weights, schedule = trial.optimizer.weights, trial.schedule
    epochs = schedule.epochs
    if schedule.stages and schedule.carry_over == "none":
        stage, start = schedule.stage_of(epoch)
        epoch, epochs = epoch - start, schedule.stages[stage].epochs
    return cosine(epoch, epochs, weights.learning_rate, weights.learning_rate_min)


def make_adam(
    parameters: list[Tensor], config: AlphasOptimizer, capturable: bool
) -> torch.optim.Optimizer:
    """Return Adam on α and β."""
    kind = CapturableAdam if capturable else EagerAdam
    return kind(
        parameters,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
    )


def make_sgd(
    parameters: list[Tensor], config: AlphasOptimizer, capturable: bool
) -> torch.optim.Optimizer:
    """Return SGD on α and β."""
    return EagerSgd(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def make_exponentiated(
    parameters: list[Tensor], config: AlphasOptimizer, capturable: bool
) -> torch.optim.Optimizer:
    """Return the multiplicative optimizer on α and β."""
    return ExponentiatedGradient(
        parameters,
        lr=config.step_size,
        weight_decay=config.weight_decay,
        bound=config.reward_bound,
    )


def make_alphas_optimizer(
    parameters: list[Tensor], config: AlphasOptimizer, capturable: bool = False
) -> torch.optim.Optimizer:
    """Return the optimizer that a trial names for α, e.g. for the parameters of a controller.

    Raises:
        ConfigError: If it is a custom one that cannot be created.
    """
    make = load_named(_ALPHAS, config.kind)
    if manifest.is_shipped("alpha_optimizers", config.kind):
        optimizer: torch.optim.Optimizer = make(parameters, config, capturable)
        return optimizer
    if not callable(make):
        raise ConfigError(f"{_ALPHAS} is '{config.kind}', but must be a function")
    try:
        made = make(parameters, config)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_ALPHAS} is '{config.kind}', which fails: {said(error)}") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(
            f"{_ALPHAS} is '{config.kind}', which returns a {type(made).__name__}, but must return "
            "a torch.optim.Optimizer"
        )
    return made


def _give(parameters: Sequence[Tensor], gradients: Gradients) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
