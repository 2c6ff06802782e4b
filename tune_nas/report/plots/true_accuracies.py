"""True accuracies of each epoch's genotype, where a benchmark has them."""

from __future__ import annotations

from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import MetricName
from tune_nas.report.plots.epoch_curves import LINES_AS_BEFORE, plot_by_epoch
from tune_nas.report.plots.report_plot import ReportPlot

_PREFIX, _SUFFIX = "benchmark/", "_test"


def plot_true_accuracies(comparison: Comparison) -> ReportPlot | None:
    """Draw the benchmark's test accuracies by epoch, a panel for each data set (thesis, Fig. 3.1).

    The thesis is Wang, "Towards efficient, effective, and robust NAS methods".
    """
    keys = {
        key: None
        for result in comparison.results
        for epoch in result.history[-1:]
        for key in epoch
        if key.startswith(_PREFIX) and key.endswith(_SUFFIX)
    }
    names = [MetricName(key, key, _words(key), " %") for key in keys]
    figure = plot_by_epoch(comparison, names)
    if figure is None:
        return None
    caption = (
        "Test accuracies after full training, as the benchmark has them, of the genotype of each "
        f"epoch. {LINES_AS_BEFORE} Follows Wang's thesis, Fig. 3.1."
    )
    return ReportPlot("true-accuracies", "True accuracies by epoch", caption, figure)


def _words(key: str) -> str:
    return f"{key.removeprefix(_PREFIX).removesuffix(_SUFFIX)} test"
