"""Entropies of the operation weights, and the advantage of skip connections."""

from __future__ import annotations

import math

from tune_nas.search.metrics import Metrics
from tune_nas.search.probes.probe import Probe
from tune_nas.search.shares import operation_logits
from tune_nas.search.statistics import entropies, skip_advantage
from tune_nas.search.view import SearchView


class Entropies(Probe):
    """Reports how far the operation weights have converged to a choice; see `statistics`."""

    def after_epoch(self, search: SearchView) -> Metrics:
        """Return the entropies of the weights that the epoch was validated with."""
        metrics = entropies(search.epoch_weights)
        advantage = skip_advantage(search.space, operation_logits(search))
        if not math.isnan(advantage):
            metrics["skip_advantage"] = advantage
        return metrics
