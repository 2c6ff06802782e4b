"""The training of a final network: its optimizer, its schedule and its steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from tune_nas.config import RetrainConfig
from tune_nas.data import TrainStream
from tune_nas.retrain.compiled import TrainingPass
from tune_nas.retrain.distributed import DistributedPass, Workers
from tune_nas.retrain.learning_rate import learning_rate
from tune_nas.retrain.mixed_precision import bfloat16_pass
from tune_nas.retrain.weight_average import WeightAverage
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
        average: The moving average of the weights, or None.
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
        decay = recipe.ema_decay
        self.average = WeightAverage(network, decay) if decay > 0 else None

    def set_epoch(self, epoch: int) -> float:
        """Set the learning rate and drop path of an epoch (0-based); return the learning rate."""
        recipe = self._recipe
        rate = learning_rate(recipe, epoch)
        self.optimizer.param_groups[0]["lr"] = rate
        self._network.drop_path_probability = recipe.drop_path * epoch / recipe.epochs
        return rate

    def run_epoch(
        self, batches: TrainStream, device: torch.device, on_step: Callable[[int, int], None] | None
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
        for step in range(steps):
            images, labels = batches.next()
            loss, logits = self.step(images, labels)
            tally.add(loss, logits, labels)
            if on_step is not None:
                on_step(step + 1, steps)
        if self._workers.size > 1:
            tally.combine(self._workers.add)
        return tally

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Update the weights with one batch, or a worker's part; the network is in training mode.

        The batch is run in ``accumulation_steps`` parts of equal size. With the mean of their
        gradients, the step is that of the whole batch, except for batch normalization (each part
        has its own statistics) and the samples of drop path and noise.

        Args:
            images: (n, in_channels, h, w), normalized; n is a multiple of ``accumulation_steps``.
            labels: (n,).

        Returns:
            The loss of the main classifier before the step, and its logits (n, n_classes).
        """
        self.optimizer.zero_grad(set_to_none=True)
        n = self._recipe.accumulation_steps
        parts = zip(images.chunk(n), labels.chunk(n), strict=True)
        losses, logits = zip(*[self._add_gradient(*part) for part in parts], strict=True)
        if self._recipe.clip > 0:
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self._network)
        return torch.stack(losses).mean(), torch.cat(logits)

    def _add_gradient(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Add a part's share of the gradient of its batch; return its loss and logits."""
        logits, *auxiliary = self._run(images)
        loss = self._loss(logits, labels)
        total = loss
        for scores in auxiliary:
            total = loss + self._recipe.auxiliary_weight * self._loss(scores, labels)
        (total / self._recipe.accumulation_steps).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), logits.detach()

    def _run(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of the main classifier and, if there is one, of the auxiliary head."""
        images = images.contiguous(memory_format=torch.channels_last)
        mixed = self._recipe.autocast
        with bfloat16_pass(images.device) if mixed else nullcontext():
            output = self._forward(images)
        logits = output if isinstance(output, tuple) else (output,)
        # bfloat16 is too coarse for the loss.
        return tuple(scores.float() for scores in logits) if mixed else logits

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits, labels, label_smoothing=self._recipe.label_smoothing
        )
