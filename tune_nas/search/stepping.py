"""The steps of an epoch and the loop over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tune_nas.data import Batches, Pick
from tune_nas.search.objective import Batch, Objective
from tune_nas.search.optimizers import Optimizers
from tune_nas.search.rng import Draws
from tune_nas.search.update import Update
from tune_nas.spaces import MixingWeights
from tune_nas.training import Tally


class BatchIndices(NamedTuple):
    """Indices and random changes of the batches of a step.

    Args:
        train: The training batch.
        valid: The validation batch; None if the step uses none.
        moves_alphas: Whether α is updated as well as w.
    """

    train: Pick
    valid: Pick | None
    moves_alphas: bool

    def clone(self) -> BatchIndices:
        """Return a copy that shares no memory."""
        valid = None if self.valid is None else self.valid.clone()
        return BatchIndices(self.train.clone(), valid, self.moves_alphas)

    def copy_(self, other: BatchIndices) -> None:
        """Copy the values of the picks of another step of the same kind."""
        self.train.copy_(other.train)
        if self.valid is not None and other.valid is not None:
            self.valid.copy_(other.valid)


class StepResult(NamedTuple):
    """Results of a step's training pass, on the device: loss (), logits (n, classes), labels."""

    loss: Tensor
    logits: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Step:
    """One step of an epoch, in two parts: picks on the host, and computation on the device.

    The second part is a function of the picks, the seeds of its passes and the state of the search
    on the device. It reads nothing back to the host.

    Args:
        update: The update of w and α.
        optimizers: Their optimizers.
        train: The training batches.
        valid: The separate batches for α.
        moves_alphas: Whether α is updated in the epoch, in some or all of its steps.
    """

    update: Update
    optimizers: Optimizers
    train: Batches
    valid: Batches
    moves_alphas: bool

    def pick(self, moves_alphas: bool) -> BatchIndices:
        """Return the picks of the next step and advance the streams that it uses.

        Args:
            moves_alphas: Whether α is updated as well as w.
        """
        with_valid = moves_alphas and self.update.needs_valid
        train = self.train.pick()
        return BatchIndices(train, self.valid.pick() if with_valid else None, moves_alphas)

    def run(self, picks: BatchIndices) -> StepResult:
        """Update w, or w and α, once: augmentation, all passes, clipping and the optimizers."""
        train = channels_last(self.train.make(picks.train))
        if picks.moves_alphas:
            valid = None if picks.valid is None else channels_last(self.valid.make(picks.valid))
            output = self.update.step(
                train,
                valid,
                step_weights=self.optimizers.step_weights,
                step_alphas=self.optimizers.step_alphas,
                sgd=self.optimizers.sgd_state,
            )
        else:
            output = self.update.step_weights_alone(train, self.optimizers.step_weights)
        return StepResult(output.train_loss, output.train_logits, train[1])

    def constants(self) -> dict[str, Any]:
        """Return all host values that a step reads; while they are equal, steps are equivalent."""
        update, objective = self.update, self.update.objective
        relaxation, smoothing, supernet = objective.relaxation, update.smoothing, objective.supernet
        return {
            "update": (update.config, self.moves_alphas),
            "relaxation": relaxation.constants(),
            "smoothing": None if smoothing is None else smoothing.radius,
            "choices": relaxation.choices.version,
            "skip dropout": getattr(supernet, "skip_dropout", 0.0),
            "weight decay": self.optimizers.weight_decay,
            "batch sizes": (self.train.batch_size, self.valid.batch_size),
            # by identity: the owners of a step's tensors
            "objects": (supernet, self.optimizers.weights, self.optimizers.alphas),
        }

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return all tensors that a step may change, by kind and name."""
        objective, optimizers = self.update.objective, self.optimizers
        return {
            "w": dict(objective.supernet.named_parameters()),
            "statistics": dict(objective.supernet.named_buffers()),
            "α": dict(objective.alphas),
            "β": dict(objective.betas),
            "state of w's optimizer": _optimizer_state(optimizers.weights),
            "state of α's optimizer": _optimizer_state(optimizers.alphas),
        }


class Steps:
    """Runs steps eagerly, one by one.

    Args:
        draws: Random generators of the passes of the search.

    Attributes:
        captures: Whether steps may be captured and thus must not depend on host values.
    """

    captures = False

    def __init__(self, draws: Draws) -> None:
        self.draws = draws

    def begin(self, step: Step) -> None:
        """Set the step of a new epoch."""
        self.step = step

    def run(self, moves_alphas: bool) -> StepResult:
        """Run the next step."""
        return self.step.run(self.step.pick(moves_alphas))

    def predict(self, objective: Objective, images: Tensor, mixing: MixingWeights) -> Tensor:
        """Return the logits of images: see `Objective.predict`."""
        return objective.predict(images, mixing)

    def reset(self) -> None:
        """Drop everything that depends on the search's state, because another one was loaded."""


def run_steps(
    steps: Steps,
    count: int,
    *,
    weight_steps: int,
    device: torch.device,
    on_step: Callable[[int, int], None] | None = None,
) -> Tally:
    """Run the steps of an epoch and return the tally of their training passes.

    Args:
        steps: Their runner.
        count: Number of steps.
        weight_steps: Number of w steps per α step, if α is updated.
        device: Device of the tally.
        on_step: Called after each step with its number and the number of steps of the epoch.
    """
    tally = Tally(device)
    for index in range(count):
        seen = steps.run(steps.step.moves_alphas and index % weight_steps == 0)
        tally.add(seen.loss, seen.logits, seen.labels)
        if on_step is not None:
            on_step(index + 1, count)
    return tally


def channels_last(batch: Batch) -> Batch:
    """Return a batch with its images in the memory format of the supernet."""
    return batch[0].contiguous(memory_format=torch.channels_last), batch[1]


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors of an optimizer's state, named by key and number of the parameter."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    return {
        f"{key} of tensor {place}": tensor
        for place, parameter in enumerate(parameters)
        for key, tensor in optimizer.state.get(parameter, {}).items()
        if isinstance(tensor, Tensor)
    }
