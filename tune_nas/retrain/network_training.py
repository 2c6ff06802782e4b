"""The training of a final network: its optimizer, its schedule and its steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tune_nas.config import RetrainConfig
from tune_nas.data import Batches
from tune_nas.retrain.compiled import TrainingPass
from tune_nas.retrain.distributed import BatchParts, DistributedPass, Workers
from tune_nas.retrain.learning_rate import learning_rate
from tune_nas.spaces import Network
from tune_nas.training import FusedSGD, Tally


class NetworkTraining:
    """The steps of a recipe on a network.

    Args:
        network: The network, on its device.
        recipe: The recipe.
        compiled: Whether to compile the forward pass; it is not compiled for several workers.
        workers: The processes that share every batch.

    Attributes:
        optimizer: The optimizer of the weights.
    """

    def __init__(
        self,
        network: Network,
        recipe: RetrainConfig,
        *,
        compiled: bool,
        workers: Workers = Workers(),
    ) -> None:
        self._network, self._recipe, self._workers = network, recipe, workers
        self._forward: TrainingPass | DistributedPass
        if workers.size > 1:
            self._forward = DistributedPass(network, workers, next(network.parameters()).device)
        else:
            self._forward = TrainingPass(network, compiled=compiled, drops=recipe.drop_path > 0)
        self.optimizer = FusedSGD(
            network.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
        )

    def set_epoch(self, epoch: int) -> float:
        """Set the learning rate and drop path of an epoch (0-based); return the learning rate."""
        recipe = self._recipe
        rate = learning_rate(recipe, epoch)
        self.optimizer.param_groups[0]["lr"] = rate
        self._network.drop_path_probability = recipe.drop_path * epoch / recipe.epochs
        return rate

    def run_epoch(
        self, batches: Batches, device: torch.device, on_step: Callable[[int, int], None] | None
    ) -> Tally:
        """Run the steps of an epoch.

        Args:
            batches: The training batches.
            device: Their device.
            on_step: Called after each step with its number and the number of steps of the epoch.

        Returns:
            Loss and accuracy of the main classifier on the augmented images.
        """
        self._network.train()
        tally = Tally(device)
        steps = batches.steps_per_epoch
        source = batches if self._workers.size == 1 else BatchParts(batches, self._workers)
        for step in range(steps):
            images, labels = source.next()
            loss, logits = self.step(images, labels)
            tally.add(loss, logits, labels)
            if on_step is not None:
                on_step(step + 1, steps)
        if self._workers.size > 1:
            tally.combine(self._workers.add)
        return tally

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Update the weights with one batch, or a worker's part; the network is in training mode.

        Args:
            images: (n, in_channels, h, w), normalized.
            labels: (n,).

        Returns:
            The loss of the main classifier before the step, and its logits (n, n_classes).
        """
        self.optimizer.zero_grad(set_to_none=True)
        output = self._forward(images.contiguous(memory_format=torch.channels_last))
        logits, auxiliary = output if isinstance(output, tuple) else (output, None)
        loss = self._loss(logits, labels)
        total = loss
        if auxiliary is not None:
            total = loss + self._recipe.auxiliary_weight * self._loss(auxiliary, labels)
        total.backward()  # type: ignore[no-untyped-call]
        if self._recipe.clip > 0:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
        self.optimizer.step()
        return loss.detach(), logits.detach()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits, labels, label_smoothing=self._recipe.label_smoothing
        )
