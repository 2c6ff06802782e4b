"""Common parts of searches and retraining runs: learning rates, losses without syncs, SGD."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Forward = Callable[[Tensor], Tensor]


def cosine(epoch: int, epochs: int, learning_rate: float, learning_rate_min: float = 0.0) -> float:
    """Return the learning rate of an epoch in a cosine schedule.

    The published searches step once per epoch: epoch 0 has `learning_rate`, and
    `learning_rate_min` would be that of epoch `epochs`, which is never run.

    Args:
        epoch: The epoch (0-based).
        epochs: Total number of epochs, at least 1.
        learning_rate: Initial learning rate.
        learning_rate_min: Final learning rate.

    Raises:
        ValueError: If `epoch` is not in [0, `epochs`].
    """
    if epochs < 1 or not 0 <= epoch <= epochs:
        raise ValueError(f"epoch is {epoch}, but must be in [0, {epochs}] with epochs >= 1")
    share = (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0
    return learning_rate_min + (learning_rate - learning_rate_min) * share


class FusedSGD(torch.optim.SGD):
    """SGD with torch's fused kernels, available for both devices and types of a trial.

    Takes the arguments of `torch.optim.SGD` and the state of any SGD. The kernels process memory in
    its order and ignore strides: a gradient and a momentum buffer must have the memory layout of
    their parameter. Autograd ensures this for gradients, and loading a state for the buffers.
    """

    def __init__(self, parameters: Iterable[Tensor], **options: Any) -> None:
        super().__init__(parameters, **options, fused=True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state; its momentum may have another layout."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group.update(fused=True, foreach=None)
        for parameter, entry in self.state.items():
            if (momentum := entry.get("momentum_buffer")) is not None:
                entry["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)


class Tally:
    """Mean loss and accuracy over many batches, summed on the device.

    Reading `loss` or `accuracy` waits for the device; adding a batch does not.
    """

    def __init__(self, device: torch.device) -> None:
        # float64, so that the sum over an epoch does not depend on the number of batches.
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._n = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            loss: Mean loss of the batch, a scalar.
            logits: Class scores, (batch, classes).
            labels: True classes, (batch,).
        """
        n = labels.shape[0]
        right = (logits.detach().argmax(dim=1) == labels).sum()
        self._sums += torch.stack((loss.detach().double() * n, right.double()))
        self._n += n

    def combine(self, add: Callable[[Tensor], Tensor]) -> None:
        """Include the batches of other processes.

        Args:
            add: Returns the sum of a tensor over the processes.
        """
        counts = add(torch.cat((self._sums, self._sums.new_tensor([self._n]))))
        self._sums, self._n = counts[:-1], int(counts[-1])

    @property
    def loss(self) -> float:
        """Mean loss per image; nan if there were none."""
        return float(self._sums[0]) / self._n if self._n else math.nan

    @property
    def accuracy(self) -> float:
        """Percentage of correctly classified images; nan if there were none."""
        return 100.0 * float(self._sums[1]) / self._n if self._n else math.nan


@torch.no_grad()
def evaluate(
    forward: Forward,
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
    add: Callable[[Tensor], Tensor] | None = None,
) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy in percent over some batches.

    Waits for the device once, at the end. The caller sets the network's mode.

    Args:
        forward: Images (batch, channels, height, width) to logits (batch, classes).
        batches: Images and labels, as yielded by `tune_nas.data.evaluation_batches`.
        device: Device of the batches.
        add: Returns the sum of a tensor over the processes that share the batches; None for one.
    """
    tally = Tally(device)
    for images, labels in batches:
        logits = forward(images)
        tally.add(functional.cross_entropy(logits, labels), logits, labels)
    if add is not None:
        tally.combine(add)
    return tally.loss, tally.accuracy
