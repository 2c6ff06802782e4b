"""The progress of a search, and the changes that rules and selections make to it."""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.search.metrics import Metrics
from tune_nas.search.probes.choice_history import betas_at, choices_at
from tune_nas.search.rules import Rule
from tune_nas.search.selection import Selection
from tune_nas.search.selection.selection import at_least_one_to_select
from tune_nas.search.snapshots import load_snapshot, take_snapshot
from tune_nas.search.supernet_training import SupernetTraining, assign
from tune_nas.search.together import Together
from tune_nas.spaces import Genotype, MixingWeights

# The metrics of w and α at the end of an epoch, before its rules act.
_OF_SUPERNET = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "gap")


class ControlledTraining(SupernetTraining):
    """The training of a supernet with its position in the schedule and the verbs of its rules.

    Args:
        trial: The trial.
        together: Searches whose passes run jointly with its own; None for none.

    Attributes:
        selection: The selection of a genotype.
        rules: The rules of the schedule.

    Raises:
        ConfigError: If the space, a part or the device is not available, or parts do not fit.
        DataError: If the images cannot be read.
    """

    selection: Selection
    rules: list[Rule]

    def __init__(self, trial: TrialConfig, together: Together | None) -> None:
        super().__init__(trial, together)
        self.epoch = 0
        self.rate_factor = 1.0
        self.stop_reason: str | None = None
        self._stopped_at: int | None = None
        self._repeated = 0
        self._restored: Metrics = {}
        self.metrics: Metrics = {}
        self.epoch_weights = self.expected_weights()

    @property
    def search_epochs(self) -> int:
        """Number of search epochs, without the tuning epochs of the selection."""
        whole = self.trial.schedule.epochs + self._repeated
        return whole if self._stopped_at is None else self._stopped_at

    @property
    def schedule_epoch(self) -> int:
        """Number of epochs of the schedule that were run: without those repeated by `go_back`."""
        return self.epoch - self._repeated

    @property
    def weight_decay(self) -> float:
        """The weight decay of w."""
        return self.optimizers.weight_decay

    @property
    def epochs(self) -> int:
        """Total number of epochs."""
        tuning = at_least_one_to_select(self.trial, self.selection.tuning_epochs)
        return self.search_epochs + tuning

    @property
    def done(self) -> bool:
        """Whether all epochs were run."""
        return self.epoch >= self.epochs

    @property
    def is_tuning(self) -> bool:
        """Whether the next epoch is a tuning epoch of the selection."""
        return self.epoch >= self.search_epochs

    @property
    def genotype(self) -> Genotype:
        """The current genotype of the search."""
        return self.selection.genotype()

    def stop(self, reason: str) -> None:
        """End the search after the epochs run so far; the tuning of a selection still follows."""
        if self._stopped_at is None:
            self.stop_reason, self._stopped_at = reason, self.epoch

    def choose(self, cell: str, row: int) -> int:
        """Return the operation, as a column, that the selection chooses for an edge."""
        return self.selection.choose(cell, row)

    def decide(self, cell: str, row: int, column: int) -> None:
        """Choose one operation for an edge."""
        self.choices.decide(cell, row, column)

    def prune(self, cell: str, row: int) -> None:
        """Remove an edge."""
        self.choices.prune(cell, row)

    def keep(self, cell: str, mask: Tensor) -> None:
        """Remove the operations that a mask (edges, operations) does not have."""
        self.choices.keep(cell, mask)

    def reopen(self, cell: str, mask: Tensor) -> None:
        """Give open edges the operations of a mask (edges, operations); removed ones can return."""
        self.choices.reopen(cell, mask)

    def scale_learning_rate(self, factor: float, floor: float = 0.0) -> None:
        """Multiply w's learning rate from the next epoch on, with a floor for the total factor."""
        self.rate_factor = max(floor, self.rate_factor * factor)

    def set_weight_decay(self, weight_decay: float) -> None:
        """Change the weight decay of w from now on."""
        self.optimizers.set_weight_decay(weight_decay)

    def snapshot(self) -> State:
        """Return the state of the training after this epoch, on the CPU, for `go_back`."""
        return {
            **take_snapshot(self, self.rules),
            "rate_factor": self.rate_factor,
            "epoch": self.epoch,
            "schedule_epoch": self.schedule_epoch,
            "metrics": {key: self.metrics[key] for key in _OF_SUPERNET if key in self.metrics},
        }

    def go_back(self, snapshot: State) -> None:
        """Restore the training of an earlier epoch; the number of epochs run stays."""
        load_snapshot(self, self.rules, snapshot)
        self.rate_factor = snapshot["rate_factor"]
        self._repeated = self.epoch - snapshot["schedule_epoch"]
        self._restored = dict(snapshot["metrics"])
        self._set_epoch(self.schedule_epoch - 1)
        self.epoch_weights = self.expected_weights()

    def recall(self, state: State, epoch: int) -> None:
        """Set α, β, the remaining operations and the number of epochs to those of an earlier epoch.

        Args:
            state: The state of a search.
            epoch: One of its epochs (1-based), at whose end they are taken.
        """
        self.epoch = epoch
        self.choices.load_state_dict(choices_at(state["choice_history"], epoch))
        rows = state["alpha_history"]["alphas"].items()
        alphas = {name: by_epoch[epoch - 1] for name, by_epoch in rows}
        assign((self.alphas, self.betas), (alphas, betas_at(state["choice_history"], epoch)))

    def set_skip_dropout(self, probability: float) -> None:
        """Set the dropout on identities in training mode."""
        self.supernet.skip_dropout = probability

    def _set_epoch(self, epoch: int) -> None:
        """Set temperature, radius and β; tuning keeps the last temperature and the final others."""
        epochs = self.trial.schedule.epochs
        at = min(epoch, self.search_epochs - self._repeated - 1)
        self.relaxation.set_epoch(at, epochs)
        if (of_weights := self.relaxation.for_weights()) is not self.relaxation:
            of_weights.set_epoch(at, epochs)
        if self.smoothing is not None:
            self.smoothing.set_epoch(epochs if self.is_tuning else at, epochs)
        self._schedule_supernet(epoch)

    def _schedule_supernet(self, epoch: int) -> None:
        """Set β of the auxiliary skips and the drop path of an epoch of the schedule (0-based).

        Tuning has the final β and the last probability.
        """
        config, epochs = self.trial.relaxation, self.trial.schedule.epochs
        length = self.search_epochs - self._repeated
        at = epochs if epoch >= length else epoch
        self.supernet.skip_weight = config.auxiliary_skip.weight(at, epochs)
        self.supernet.drop_path = config.drop_path_in(min(epoch, length - 1), epochs)

    def moves_alphas(self, epoch: int) -> bool:
        """Whether α is updated in an epoch (0-based): false during the warm-up of each stage."""
        if epoch >= self.search_epochs:
            return True
        return self.trial.moves_alphas(epoch - self._repeated)

    def expected_weights(self) -> MixingWeights:
        """Return the expected mixing weights of α, without sampling."""
        with torch.no_grad():
            return self.relaxation.weights(self.alphas, self.betas)
