"""Tuning: w is trained at a low learning rate while a selection decides."""

from __future__ import annotations

from abc import abstractmethod

from tune_nas.search.selection.decided import read_decided
from tune_nas.search.selection.selection import Selection
from tune_nas.spaces import Genotype


class Tuning(Selection):
    """Decides between epochs in which w is tuned (DARTS-PT, arXiv:2108.04392).

    w's optimizer is reset, and its learning rate is ``selection.perturbation.learning_rate_factor``
    times the initial one of the search. (The authors' code creates a cosine schedule but never
    steps it.) α of open edges is still updated as in the trial. Smoothing continues with its final
    radius.
    """

    def learning_rate(self, epoch: int) -> float:
        """Return w's learning rate in a tuning epoch (0-based)."""
        trial = self.search.trial
        factor = trial.selection.perturbation.learning_rate_factor
        return factor * trial.optimizer.weights.learning_rate

    def before_epoch(self) -> None:
        """Reset w's optimizer before the first tuning epoch; then decide."""
        epoch = self.search.epoch - self.search.search_epochs
        if epoch == 0:
            self.search.restart_weights()
        self.decide(epoch)

    @abstractmethod
    def decide(self, epoch: int) -> None:
        """Make the decisions due before a tuning epoch (0-based)."""

    def genotype(self) -> Genotype:
        """Return the decisions so far, and the largest weights of open edges."""
        return read_decided(self.search)
