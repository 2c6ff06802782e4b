"""A custom relaxation, rule, selection and probe, used by own-parts.yaml.

cd examples && tune-nas search own-parts.yaml
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.search import (
    CandidateMask,
    Probe,
    Relaxation,
    Rule,
    SearchControl,
    SearchView,
    Selection,
    select_by_magnitude,
)
from tune_nas.search.relaxation import softmax_where
from tune_nas.spaces import Genotype, Space


class Sharpening(Relaxation):
    """Softmax with a temperature that decreases to `end`, so that the weights sharpen.

    Args:
        end: Temperature of the last epoch; that of the first is 1. From ``relaxation.options``.
    """

    reads = ()  # no keys of the trial: --set relaxation.temperature.end=1 is an error

    def __init__(
        self,
        config: RelaxationConfig,
        space: Space,
        choices: CandidateMask | None = None,
        *,
        end: float = 0.1,
    ) -> None:
        super().__init__(config, space, choices)
        if not 0 < end <= 1:
            raise ConfigError(f"relaxation.options.end is {end}, but must be > 0 and <= 1")
        self.end, self.temperature = end, 1.0

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Set the temperature of an epoch (0-based); also called after resuming."""
        self.temperature = 1 + (self.end - 1) * epoch / max(epochs - 1, 1)

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α `(edges, operations)` to weights; the mask marks the operations of each edge."""
        return softmax_where(alphas / self.temperature, mask)

    def metrics(self) -> dict[str, float]:
        """Return additional metrics of the epoch."""
        return {"temperature": self.temperature}


class StopWhenSettled(Rule):
    """Stops the search when the genotype has not changed for `patience` epochs."""

    reads = ()
    patience = 3

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        self._genotype, self._epochs = "", 0

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Count the epochs since the genotype last changed."""
        genotype = self.search.genotype.to_yaml()
        self._epochs = self._epochs + 1 if genotype == self._genotype else 1
        self._genotype = genotype
        metrics["settled_epochs"] = self._epochs
        if self._epochs >= self.patience:
            self.search.stop(f"the genotype is the same for {self._epochs} epochs")

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed search needs."""
        return {"genotype": self._genotype, "epochs": self._epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        self._genotype, self._epochs = state["genotype"], state["epochs"]


class MostCertain(Selection):
    """Ranks edges by the largest weight × (1 − relative entropy), to keep the most certain.

    Args:
        power: Exponent of the certainty; 0 is selection by magnitude. From ``selection.options``.
    """

    reads = ()
    reads_alpha = True

    def __init__(self, search: SearchControl, *, power: float = 1.0) -> None:
        super().__init__(search)
        self.power = power

    def genotype(self) -> Genotype:
        """Return the genotype selected by the current α."""
        search = self.search
        with torch.no_grad():
            weights = search.relaxation.weights(search.alphas, search.betas)
        weighted = {
            name: replace(cell, edges=self._certainty(cell.operations, name))
            for name, cell in weights.items()
        }
        return select_by_magnitude(search.space, weighted)

    def _certainty(self, operations: Tensor, name: str) -> Tensor:
        shares = operations / operations.sum(dim=1, keepdim=True)
        entropy = torch.special.entr(shares).sum(dim=1)
        counts = self.search.choices.remaining(name, operations.device).sum(dim=1)
        certainty: Tensor = 1 - entropy / counts.clamp(min=2).log()
        return certainty.clamp(min=0) ** self.power


class Alternatives(Probe):
    """Counts the edges whose second largest weight is nearly the largest."""

    reads = ()

    def after_epoch(self, search: SearchView) -> dict[str, float]:
        """Return the count over all cell types."""
        close = 0
        for cell in search.epoch_weights.values():
            first, second = cell.operations.topk(2, dim=1).values.unbind(dim=1)
            close += int((second > 0.9 * first).sum())
        return {"close_edges": close}
