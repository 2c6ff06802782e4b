"""The dominant eigenvalue of the Hessian in α by epoch, saved as ``hessian.csv`` in a checkpoint.

Zela et al. (RobustDARTS), ICLR 2020, arXiv:1909.09656, Sec. 4: it grows while the genotype's
accuracy falls.
"""

from __future__ import annotations

import csv
import io

from tune_nas.checkpoint import State
from tune_nas.search.curvature import hessian_eigenvalue
from tune_nas.search.metrics import Metrics
from tune_nas.search.probes.probe import Probe
from tune_nas.search.view import SearchView

HESSIAN_EIGENVALUE = "hessian_eigenvalue"
"""The metric with the eigenvalue, of the probe and of the rule `eigenvalue`."""


class HessianProbe(Probe):
    """Reports the largest eigenvalue of ∇²α L_valid: see `hessian_eigenvalue`.

    Where the rule ``schedule.eigenvalue`` has already reported the metric in an epoch, its value is
    recorded rather than computed again.

    Args:
        search: The search.
        every: Epochs between two values; the first is of epoch 1.
        batches: Number of validation batches.
    """

    def __init__(self, search: SearchView, every: int = 1, batches: int = 1) -> None:
        super().__init__(search)
        self._every, self._batches = every, batches
        self.values: list[tuple[int, float]] = []

    def after_epoch(self, search: SearchView) -> Metrics:
        """Return the eigenvalue, in the epochs that have one."""
        if HESSIAN_EIGENVALUE in search.metrics:
            self.values.append((search.epoch, search.metrics[HESSIAN_EIGENVALUE]))
            return {}
        if (search.epoch - 1) % self._every:
            return {}
        value = hessian_eigenvalue(search, self._batches)
        self.values.append((search.epoch, value))
        return {HESSIAN_EIGENVALUE: value}

    def artifacts(self) -> dict[str, str]:
        """Return ``hessian.csv``: a line per value."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("epoch", HESSIAN_EIGENVALUE), *self.values])
        return {"hessian.csv": text.getvalue()}

    def state_dict(self) -> State:
        """Return the values by epoch."""
        return {"values": [list(entry) for entry in self.values]}

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self.values = [(epoch, value) for epoch, value in state["values"]]
