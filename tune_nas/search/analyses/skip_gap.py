"""Skip gap: the advantage of skip connections beside the accuracy of the supernet, by epoch.

Wang, "Towards efficient, effective, and robust Neural Architecture Search methods" (thesis, UCLA
2021), Fig. 2.3: mean(softmax α_skip − softmax α_conv) grows with the supernet's accuracy.
"""

from __future__ import annotations

import math

import torch

from tune_nas.analysis_table import AnalysisTable, TableAxes, with_epochs
from tune_nas.errors import ConfigError
from tune_nas.search.analyses.analysis_probe import AnalysisProbe
from tune_nas.search.analyses.gradient_correlation import correlation
from tune_nas.search.shares import operation_logits
from tune_nas.search.statistics import skip_advantage
from tune_nas.search.view import SearchView

_COLUMNS = ("valid_accuracy", "skip_gap")


def gap_correlation(pairs: list[tuple[float, float]]) -> float:
    """Return Pearson's correlation of accuracy and gap over epochs; nan if one is constant."""
    return correlation(*torch.tensor(pairs, dtype=torch.float64).unbind(dim=1))


class SkipGap(AnalysisProbe):
    """mean(softmax α_skip − softmax α_conv), in all epochs of the search without further passes.

    The metric ``skip_gap/correlation`` is Pearson's correlation of the gap with the validation
    accuracy of the supernet over the epochs so far. Every search reports the gap itself as the
    metric ``skip_advantage``.
    """

    kind = "skip-gap"
    reads = ("analysis.every",)

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        if math.isnan(_gap(search)):
            raise ConfigError(
                f"the analysis is '{self.kind}', but needs an edge with a skip connection and a "
                f"convolution, which space '{search.space.name}' does not have"
            )

    def measure(self, search: SearchView) -> AnalysisTable:
        """Return the accuracy and the gap of the current epoch."""
        pairs = _history(search)
        accuracy, gap = pairs[-1][1]
        known = [pair for _, pair in pairs if not any(map(math.isnan, pair))]
        value = gap_correlation(known) if len(known) > 1 else math.nan
        metrics = {} if math.isnan(value) else {"skip_gap/correlation": value}
        return self._table(accuracy, gap, metrics)

    def table(self, search: SearchView | None = None) -> AnalysisTable | None:
        """Return the table of all measured epochs; with a search, that of all its epochs."""
        if search is None:
            return super().table()
        metrics = self.measured(search).metrics
        return with_epochs(
            [(epoch, self._table(*pair, metrics)) for epoch, pair in _history(search)]
        )

    def _table(self, accuracy: float, gap: float, metrics: dict[str, float]) -> AnalysisTable:
        axes = TableAxes("valid_accuracy", "skip_gap", connected=True, own_epochs=True)
        return AnalysisTable(self.kind, _COLUMNS, [(accuracy, gap)], axes, metrics)


def _history(search: SearchView) -> list[tuple[int, tuple[float, float]]]:
    """Return accuracy and gap of each epoch; those of the current one if it is not recorded yet."""
    found = [
        (int(epoch["epoch"]), (epoch["valid_accuracy"], epoch.get("skip_advantage", math.nan)))
        for epoch in search.history
    ]
    if not found or found[-1][0] < search.epoch:
        accuracy = search.metrics.get("valid_accuracy", math.nan)
        found.append((search.epoch, (accuracy, _gap(search))))
    return found


def _gap(search: SearchView) -> float:
    return skip_advantage(search.space, operation_logits(search))
