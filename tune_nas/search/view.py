"""What the parts of a search may see of it, and what they may do to it.

Rules, selections, probes and analyses depend on these two protocols alone; `Search` follows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tune_nas.config import TrialConfig
from tune_nas.data import SearchData
from tune_nas.search.build import SupernetSize
from tune_nas.search.choices import Candidates
from tune_nas.search.metrics import Metrics
from tune_nas.search.relaxation import Alphas, Betas, Relaxation
from tune_nas.spaces import Genotype, MixingWeights, Space, Supernet


class ArchitectureView(Protocol):
    """The architecture that a search is deciding."""

    @property
    def space(self) -> Space:
        """The search space."""

    @property
    def choices(self) -> Candidates:
        """The operations that each edge still has."""

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
        """The expected mixing weights that the present epoch was validated with.

        Rules that decide at the end of the epoch change `expected_weights`, and not these.
        """

    @property
    def genotype(self) -> Genotype:
        """The genotype that the search has come to."""

    def choose(self, cell: str, row: int) -> int:
        """Return the operation, as a column, that the trial's selection chooses for an edge."""
        ...

    def expected_weights(self) -> MixingWeights:
        """Return the expected mixing weights of the present α; nothing is sampled."""
        ...


class ProgressView(Protocol):
    """How far a search is, and what it has reported."""

    @property
    def trial(self) -> TrialConfig:
        """The trial: everything that decides the result."""

    @property
    def epoch(self) -> int:
        """The number of epochs that have been run."""

    @property
    def search_epochs(self) -> int:
        """Epochs of the search itself, without those in which the selection tunes."""

    @property
    def history(self) -> Sequence[Metrics]:
        """The metrics of the epochs before the present one."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of the present epoch, as far as they are known."""

    @property
    def rate_factor(self) -> float:
        """The factor on the scheduled learning rate of w."""

    def moves_alphas(self, epoch: int) -> bool:
        """Whether α is updated in an epoch (0-based): false during the warm-up of each stage."""
        ...


class SupernetView(Protocol):
    """The supernet of a search, and what it computes."""

    @property
    def data(self) -> SearchData:
        """The training images, in two parts; there is no test set."""

    @property
    def device(self) -> torch.device:
        """The device of w and α."""

    @property
    def supernet(self) -> Supernet:
        """The present supernet."""

    @property
    def size(self) -> SupernetSize:
        """The size of the present supernet."""

    @property
    def batch_size(self) -> int:
        """Images of a training batch."""

    def predict(self, images: Tensor, weights: MixingWeights) -> Tensor:
        """Return the logits (n, classes) of images, in the mode that the supernet is in."""
        ...

    def evaluate(
        self,
        weights: MixingWeights | Iterator[MixingWeights],
        batches: int | None = None,
        batch_statistics: bool = False,
    ) -> tuple[float, float]:
        """Return the validation loss and accuracy, in percent; the supernet stays as it is.

        Args:
            weights: Mixing weights, or an iterator with those of each batch.
            batches: Number of batches; None for all validation images.
            batch_statistics: Whether batch normalization uses the statistics of the batch.
        """
        ...


class SearchView(ArchitectureView, ProgressView, SupernetView, Protocol):
    """What can be read of a search. Reading changes nothing of its result."""


class SearchControl(SearchView, Protocol):
    """What can be done to a search between its epochs."""

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

    def scale_learning_rate(self, factor: float, floor: float = 0.0) -> None:
        """Multiply the learning rate of w by a factor from the next epoch on.

        Args:
            factor: The factor.
            floor: The smallest value of the product of all factors.
        """
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
            generator: Decides which channels are copied; on the CPU.
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
