"""Training of the controller by REINFORCE on the validation accuracy of sampled architectures.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing" (ENAS), ICML 2018,
arXiv:1802.03268, Sec. 2.2; numbers as for NAS-Bench-201 in D-X-Y/AutoDL-Projects
(`exps/NAS-Bench-201-algos/ENAS.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.config import AlphasOptimizer
from tune_nas.config.options.controller_options import PolicyConfig
from tune_nas.search.metrics import Metrics
from tune_nas.search.objective import gradients
from tune_nas.search.optimizers import make_alphas_optimizer
from tune_nas.search.relaxation.controller import Controller
from tune_nas.search.relaxation.relaxation import Alphas
from tune_nas.seeds import Generators


class Policy:
    """The optimizer of a controller, and the moving average of its rewards.

    Args:
        config: The section ``update.policy`` of a trial.
        alphas: The section ``optimizer.alphas``, whose optimizer updates the controller.
        controller: The relaxation that samples the architectures.

    Attributes:
        baseline: The moving average; None before the first reward.
    """

    def __init__(
        self, config: PolicyConfig, alphas: AlphasOptimizer, controller: Controller
    ) -> None:
        self.config, self._alphas, self._controller = config, alphas, controller
        self.restart()

    def restart(self) -> None:
        """Restart the optimizer and the moving average."""
        self.baseline: float | None = None
        self._parameters = list(self._controller.network.parameters())
        self._optimizer = make_alphas_optimizer(list[Tensor](self._parameters), self._alphas)

    def step(self, seeds: list[int], accuracies: Sequence[float], generators: Generators) -> float:
        """Update the controller once, by −mean (R − b) ∇log p over samples; return their entropy.

        The reward R is the accuracy plus ``entropy_weight`` × entropy, without a gradient. The
        baseline b is updated with a reward before it is subtracted from it; it starts as the first.

        Args:
            seeds: The seeds of the passes whose architectures were sampled.
            accuracies: Their accuracies, as fractions.
            generators: Source of the generators of the passes.
        """
        logs, entropies = self._controller.log_probabilities(seeds, generators)
        advantages = self.advantages(accuracies, entropies.tolist())
        loss = -(logs * logs.new_tensor(advantages)).mean()
        for parameter, gradient in zip(
            self._parameters, gradients(loss, self._parameters), strict=True
        ):
            parameter.grad = gradient
        if self.config.clip > 0:
            torch.nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        self._optimizer.step()
        return float(entropies.detach().mean())

    def advantages(self, accuracies: Sequence[float], entropies: Sequence[float]) -> list[float]:
        """Return R − b of samples, in order, and update b with each R."""
        found, decay = [], self.config.baseline_decay
        for accuracy, entropy in zip(accuracies, entropies, strict=True):
            reward = accuracy + self.config.entropy_weight * entropy
            before = reward if self.baseline is None else self.baseline
            self.baseline = decay * before + (1.0 - decay) * reward
            found.append(reward - self.baseline)
        return found

    def set_alphas(self, alphas: Alphas) -> None:
        """Set α to the greedy decode of the controller."""
        self._controller.set_alphas(alphas)

    def metrics(self, accuracies: Sequence[float], entropies: Sequence[float]) -> Metrics:
        """Return the mean accuracy in percent, the mean entropy in nats, and the baseline.

        Args:
            accuracies: Those of all samples of an epoch, as fractions.
            entropies: Mean entropy of each step.
        """
        assert self.baseline is not None
        return {
            "policy/accuracy": 100.0 * sum(accuracies) / len(accuracies),
            "policy/entropy": sum(entropies) / len(entropies),
            "policy/baseline": self.baseline,
        }

    def state_dict(self) -> State:
        """Return the controller, its optimizer and the moving average."""
        network = self._controller.network.state_dict()
        return {
            "controller": {name: each.detach().clone() for name, each in network.items()},
            "optimizer": self._optimizer.state_dict(),
            "baseline": self.baseline,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self._controller.network.load_state_dict(state["controller"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]
