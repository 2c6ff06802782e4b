"""The complete history of α by epoch, saved as ``alphas.csv`` in a checkpoint."""

from __future__ import annotations

import csv
import io

from torch import Tensor

from tune_nas.checkpoint import State
from tune_nas.search.metrics import Metrics
from tune_nas.search.probes.probe import Probe
from tune_nas.search.relaxation import Alphas
from tune_nas.search.view import SearchView
from tune_nas.spaces import MixingWeights


class AlphaHistory(Probe):
    """α and the expected operation weights of every epoch."""

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        self.space = search.space
        self._alphas: dict[str, list[Tensor]] = {name: [] for name in self.space.cells}
        self._weights: dict[str, list[Tensor]] = {name: [] for name in self.space.cells}

    def after_epoch(self, search: SearchView) -> Metrics:
        """Record the epoch's α and weights."""
        self.add(search.alphas, search.epoch_weights)
        return {}

    def artifacts(self) -> dict[str, str]:
        """Return ``alphas.csv``."""
        return {"alphas.csv": self.to_csv()}

    def add(self, alphas: Alphas, weights: MixingWeights) -> None:
        """Record an epoch's α and weights."""
        for name, alpha in alphas.items():
            self._alphas[name].append(alpha.detach().cpu().clone())
            self._weights[name].append(weights[name].operations.detach().cpu().clone())

    def to_csv(self) -> str:
        """Return a line per epoch, cell, edge and operation."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("epoch", "cell", "source", "target", "operation", "alpha", "weight"))
        for name, cell in self.space.cells.items():
            pairs = zip(self._alphas[name], self._weights[name], strict=True)
            for epoch, (alpha, weight) in enumerate(pairs, start=1):
                rows = zip(
                    cell.edges, cell.operations, alpha.tolist(), weight.tolist(), strict=True
                )
                for edge, operations, alphas, weights in rows:
                    place = (epoch, name, edge.source, edge.target)
                    writer.writerows(
                        (*place, *entry) for entry in zip(operations, alphas, weights, strict=False)
                    )
        return text.getvalue()

    def state_dict(self) -> State:
        """Return both as tensors."""
        return {
            "alphas": {name: list(rows) for name, rows in self._alphas.items()},
            "weights": {name: list(rows) for name, rows in self._weights.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Restore both."""
        self._alphas = {name: list(rows) for name, rows in state["alphas"].items()}
        self._weights = {name: list(rows) for name, rows in state["weights"].items()}
