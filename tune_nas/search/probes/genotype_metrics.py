"""Metrics of each epoch's genotype: size and true accuracy; the best one of each size."""

from __future__ import annotations

from tune_nas.checkpoint import State
from tune_nas.search.metrics import Metrics
from tune_nas.search.model_size import BEST_BY_SIZE, BestBySize
from tune_nas.search.probes.genotype_numbers import GenotypeNumbers
from tune_nas.search.probes.probe import Probe
from tune_nas.search.view import SearchView
from tune_nas.spaces import Genotype


class GenotypeMetrics(Probe):
    """Reports metrics of the genotype of each epoch.

    Parameters are counted at the size given by the trial's ``retrain`` section.

    Raises:
        ConfigError: If the table does not belong to the space or cannot be read.
    """

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self.space = search.space
        self._numbers = GenotypeNumbers(search.trial, search.space, search.data)
        self.best_by_size = BestBySize()

    def after_epoch(self, search: SearchView) -> Metrics:
        """Return the metrics of the epoch's genotype."""
        return self.see(search.genotype, search.epoch, search.metrics["valid_accuracy"])

    def artifacts(self) -> dict[str, str]:
        """Return the best genotype of each size."""
        return {BEST_BY_SIZE: self.best_by_size.to_yaml()}

    def see(self, genotype: Genotype, epoch: int, valid_accuracy: float) -> dict[str, float]:
        """Record an epoch's genotype and return its metrics."""
        self.best_by_size.see(genotype, epoch, valid_accuracy)
        return self._numbers.of(genotype)

    def state_dict(self) -> State:
        """Return the best genotype of each size."""
        return self.best_by_size.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Restore them; older checkpoints do not name the space."""
        self.best_by_size.load_state_dict(state)
        for entry in self.best_by_size.entries.values():
            entry.setdefault("space", self.space.name)
