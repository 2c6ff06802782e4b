"""Tuning: w goes on at a low learning rate while a selection decides."""

from __future__ import annotations

from abc import abstractmethod

from tune_nas.search.selection.greedy import read_decided
from tune_nas.search.selection.selection import Selection
from tune_nas.spaces import Genotype
from tune_nas.training import cosine


class Tuning(Selection):
    """Decides between epochs in which w is tuned (DARTS-PT, arXiv:2108.04392).

    w's optimiser starts anew, at ``selection.perturbation.learning_rate_factor`` of the search's
    first rate, on a cosine to the search's last one. α goes on by the trial's own update, as far as
    its edges are still open.
    """

    def learning_rate(self, epoch: int) -> float:
        """Return w's learning rate in a tuning epoch, counted from 0."""
        trial = self.search.trial
        weights, factor = trial.optimizer.weights, trial.selection.perturbation.learning_rate_factor
        start = factor * weights.learning_rate
        return cosine(epoch, self.tuning_epochs, start, min(start, weights.learning_rate_min))

    def before_epoch(self) -> None:
        """Start w's optimiser anew before the first tuning epoch; then decide."""
        epoch = self.search.epoch - self.search.search_epochs
        if epoch == 0:
            self.search.optimisers.restart_weights(self.search.supernet)
        self.decide(epoch)

    @abstractmethod
    def decide(self, epoch: int) -> None:
        """Decide what is to be decided before a tuning epoch, counted from 0."""

    def genotype(self) -> Genotype:
        """Return what was decided so far, and of what is open the largest weights."""
        return read_decided(self.search)
