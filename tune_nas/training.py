"""Common parts of searches and retraining runs: learning rates, losses without syncs, SGD."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tune_nas.eager_optimizers import EagerSgd

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


class FusedSGD(EagerSgd):
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

    Reading a mean waits for the device; adding a batch does not.

    Args:
        device: Device of the batches.
        top: Number k of the largest logits of an image among which its class counts as a hit of
            `top_accuracy`, at most the number of classes; None to not count them.
    """

    def __init__(self, device: torch.device, top: int | None = None) -> None:
        # float64, so that the sum over an epoch does not depend on the number of batches.
        self._sums = torch.zeros(2 if top is None else 3, dtype=torch.float64, device=device)
        self._top = top
        self._n = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            loss: Mean loss of the batch, a scalar.
            logits: Class scores, (batch, classes).
            labels: True classes, (batch,).
        """
        n, scores = labels.shape[0], logits.detach()
        right = (scores.argmax(dim=1) == labels).sum()
        sums = [loss.detach().double() * n, right.double()]
        if self._top is not None:
            best = scores.topk(self._top, dim=1, sorted=False).indices
            sums.append((best == labels[:, None]).sum().double())
        self._sums += torch.stack(sums)
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

    @property
    def top_accuracy(self) -> float | None:
        """Percentage of images whose class is among their k largest logits; None without `top`.

        Among equal logits, `torch.topk` chooses; nan if there were no images.
        """
        if self._top is None:
            return None
        return 100.0 * float(self._sums[2]) / self._n if self._n else math.nan


def evaluate(
    forward: Forward, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy in percent over some batches.

    Waits for the device once, at the end. The caller sets the network's mode.

    Args:
        forward: Images (batch, channels, height, width) to logits (batch, classes).
        batches: Images and labels, as yielded by `tune_nas.data.evaluation_batches`.
        device: Device of the batches.
    """
    found = tally(forward, batches, device)
    return found.loss, found.accuracy


@torch.no_grad()
def tally(
    forward: Forward,
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
    *,
    top: int | None = None,
) -> Tally:
    """Return the tally of some batches, without waiting for the device.

    Args:
        forward: Images (batch, channels, height, width) to logits (batch, classes).
        batches: Images and labels.
        device: Device of the batches.
        top: As of `Tally`.
    """
    found = Tally(device, top)
    for images, labels in batches:
        logits = forward(images)
        found.add(functional.cross_entropy(logits, labels), logits, labels)
    return found
