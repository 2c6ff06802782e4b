"""The dominant eigenvalue of the Hessian in α, by epoch.

Zela et al. (RobustDARTS), ICLR 2020, arXiv:1909.09656, Sec. 4: it grows while the genotype's
accuracy falls.
"""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.analysis_table import AnalysisTable, TableAxes
from tune_nas.search.analyses.analysis_probe import AnalysisProbe
from tune_nas.search.curvature import hessian_eigenvalue
from tune_nas.search.view import SearchView

HESSIAN_EIGENVALUE = "hessian_eigenvalue"
"""The metric with the eigenvalue, of the probe and of the rule `eigenvalue`."""


class HessianProbe(AnalysisProbe):
    """The largest eigenvalue of ∇²α L_valid: see `hessian_eigenvalue`.

    Its loss is that of ``analysis.batches`` validation batches, one by default. Where the rule
    ``schedule.eigenvalue`` has already reported the metric in an epoch, its value is recorded
    rather than computed again.
    """

    kind = "hessian"
    reads = ("analysis.batches", "analysis.every")

    def measure(self, search: SearchView) -> AnalysisTable:
        """Return the eigenvalue."""
        value = search.metrics.get(HESSIAN_EIGENVALUE)
        if value is None:
            value = hessian_eigenvalue(search, search.trial.analysis.batches or 1)
        axes = TableAxes("epoch", HESSIAN_EIGENVALUE, connected=True)
        metrics = {HESSIAN_EIGENVALUE: value}
        return AnalysisTable(self.kind, (HESSIAN_EIGENVALUE,), [(value,)], axes, metrics)

    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        """Measure the search if it is due and return the eigenvalue, unless a rule has."""
        reported = HESSIAN_EIGENVALUE in search.metrics
        found = super().after_epoch(search)
        return {} if reported else found
