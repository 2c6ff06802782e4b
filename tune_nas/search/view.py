"""Protocols by which the parts of a search read and change it.

Rules, selections, probes and analyses depend only on these protocols; `Search` implements them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.data import SearchData
from tune_nas.search.candidates import Candidates
from tune_nas.search.metrics import Metrics
from tune_nas.search.objective import Objective
from tune_nas.search.relaxation import Alphas, Betas, Relaxation
from tune_nas.search.supernet_size import SupernetSize
from tune_nas.spaces import Genotype, MixingWeights, Space, Supernet


class ArchitectureView(Protocol):
    """The architecture in a search."""

    @property
    def space(self) -> Space:
        """The search space."""

    @property
    def choices(self) -> Candidates:
        """The remaining operations of each edge."""

    @property
    def relaxation(self) -> Relaxation:
        """The map from α to mixing weights."""

    @property
    def alphas(self) -> Alphas:
        """α by cell type, each (edges, operations)."""

    @property
    def betas(self) -> Betas:
        """β by cell type, each (edges,); empty without edge normalization."""

    @property
    def epoch_weights(self) -> MixingWeights:
        """The expected mixing weights with which the current epoch was validated.

        Rules that decide at the end of the epoch change `expected_weights`, but not these.
        """

    @property
    def genotype(self) -> Genotype:
        """The current genotype."""

    def choose(self, cell: str, row: int) -> int:
        """Return the operation, as a column, that the trial's selection chooses for an edge."""
        ...

    def expected_weights(self) -> MixingWeights:
        """Return the expected mixing weights of the current α, without sampling."""
        ...


class ProgressView(Protocol):
    """The progress of a search and its metrics."""

    @property
    def trial(self) -> TrialConfig:
        """The trial, which determines the result."""

    @property
    def epoch(self) -> int:
        """The number of epochs that have been run."""

    @property
    def schedule_epoch(self) -> int:
        """The number of epochs of the schedule that have been run: without repeated ones."""

    @property
    def weight_decay(self) -> float:
        """The weight decay of w."""

    @property
    def search_epochs(self) -> int:
        """Number of search epochs, without the tuning epochs of the selection."""

    @property
    def history(self) -> Sequence[Metrics]:
        """The metrics of the previous epochs."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of the current epoch so far."""

    @property
    def rate_factor(self) -> float:
        """The factor on the scheduled learning rate of w."""

    def moves_alphas(self, epoch: int) -> bool:
        """Whether α is updated in an epoch (0-based): false during the warm-up of each stage.

        Args:
            epoch: The epoch, counted with the repeated ones, since the last return to an earlier
                epoch.
        """
        ...


class SupernetView(Protocol):
    """The supernet of a search and its evaluation."""

    @property
    def data(self) -> SearchData:
        """The training images in two parts, without the test set."""

    @property
    def device(self) -> torch.device:
        """The device of w and α."""

    @property
    def supernet(self) -> Supernet:
        """The current supernet."""

    @property
    def objective(self) -> Objective:
        """The loss of the current supernet as a function of (w, α), and its gradients."""

    @property
    def size(self) -> SupernetSize:
        """The size of the current supernet."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of w steps per epoch."""

    @property
    def batch_size(self) -> int:
        """Number of images per training batch."""

    def predict(self, images: Tensor, weights: MixingWeights) -> Tensor:
        """Return the logits (n, classes) of images, in the current mode of the supernet."""
        ...

    def evaluate(
        self,
        weights: MixingWeights | Iterator[MixingWeights],
        batches: int | None = None,
        batch_statistics: bool = False,
    ) -> tuple[float, float]:
        """Return the validation loss and accuracy in percent; the supernet is unchanged.

        Args:
            weights: Mixing weights, or an iterator with those of each batch.
            batches: Number of batches; None for all validation images.
            batch_statistics: Whether batch normalization uses the statistics of the batch.
        """
        ...


class SearchView(ArchitectureView, ProgressView, SupernetView, Protocol):
    """The read access to a search, which does not change its result."""


class EarlierEpochs(Protocol):
    """The return of a search to an earlier epoch."""

    def snapshot(self) -> State:
        """Return the state of the training after the current epoch, on the CPU, for `go_back`.

        It includes the candidate operations and the state of the rules that do not go back
        themselves, but no records of past epochs.
        """
        ...

    def go_back(self, snapshot: State) -> None:
        """Restore the training of an earlier epoch of this search, after an epoch.

        The number of epochs run stays, and the schedule continues from the earlier epoch. The
        losses and accuracies that the current epoch reports become those of that epoch.
        """
        ...


class CandidateControl(Protocol):
    """The changes to the candidate operations of a search."""

    def decide(self, cell: str, row: int, column: int) -> None:
        """Choose one operation for an edge.

        Raises:
            ValueError: If the edge no longer has that operation.
        """
        ...

    def prune(self, cell: str, row: int) -> None:
        """Remove an edge."""
        ...

    def keep(self, cell: str, mask: Tensor) -> None:
        """Remove the operations that a mask (edges, operations) does not have."""
        ...

    def reopen(self, cell: str, mask: Tensor) -> None:
        """Give open edges the operations of a mask (edges, operations); removed ones can return.

        α of an operation that returns is where it was left: `restart_alphas` samples it again.
        """
        ...


class SearchControl(SearchView, CandidateControl, EarlierEpochs, Protocol):
    """The changes to a search that are allowed between its epochs."""

    def scale_learning_rate(self, factor: float, floor: float = 0.0) -> None:
        """Multiply the learning rate of w by a factor from the next epoch on.

        Args:
            factor: The factor.
            floor: Lower bound of the product of all factors.
        """
        ...

    def set_weight_decay(self, weight_decay: float) -> None:
        """Change the weight decay of w from now on."""
        ...

    def set_batch_size(self, batch_size: int) -> None:
        """Change the batch size from now on; both streams of batches start a new pass."""
        ...

    def set_skip_dropout(self, probability: float) -> None:
        """Set the dropout on identities in training mode."""
        ...

    def rebuild(self, size: SupernetSize) -> Supernet:
        """Replace the supernet by one of another size with new weights; return the old one.

        The optimizer of w is restarted.
        """
        ...

    def widen(self, size: SupernetSize, generator: torch.Generator) -> None:
        """Replace the supernet by a wider one that keeps its weights and their momentum.

        Args:
            size: The new size: the same cells, no fewer channels in operations.
            generator: CPU generator that determines which channels are copied.
        """
        ...

    def restart_weights(self) -> None:
        """Restart the optimizer of w; w itself stays."""
        ...

    def restart_alphas(self, seed: int | None = None) -> None:
        """Restart the optimizer of α; with a seed, sample α and β again too."""
        ...

    def stop(self, reason: str) -> None:
        """End the search after the epochs that have been run; a selection still tunes."""
        ...
