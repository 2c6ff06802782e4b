"""Tuning: w goes on at a low learning rate while a selection decides."""

from __future__ import annotations

from abc import abstractmethod

from tune_nas.search.selection.greedy import read_decided
from tune_nas.search.selection.selection import Selection
from tune_nas.spaces import Genotype


class Tuning(Selection):
    """Decides between epochs in which w is tuned (DARTS-PT, arXiv:2108.04392).

    w's optimiser starts anew, and its rate is ``selection.perturbation.learning_rate_factor`` of
    the search's first one. (The authors' code makes a cosine for it, and never steps it.) α goes on
    by the trial's own update, as far as its edges are still open. Smoothing goes on, at its end.
    """

    def learning_rate(self, epoch: int) -> float:
        """Return w's learning rate in a tuning epoch, counted from 0."""
        trial = self.search.trial
        factor = trial.selection.perturbation.learning_rate_factor
        return factor * trial.optimizer.weights.learning_rate

    def before_epoch(self) -> None:
        """Start w's optimiser anew before the first tuning epoch; then decide."""
        epoch = self.search.epoch - self.search.search_epochs
        if epoch == 0:
            self.search.restart_weights()
        self.decide(epoch)

    @abstractmethod
    def decide(self, epoch: int) -> None:
        """Decide what is to be decided before a tuning epoch, counted from 0."""

    def genotype(self) -> Genotype:
        """Return what was decided so far, and of what is open the largest weights."""
        return read_decided(self.search)
