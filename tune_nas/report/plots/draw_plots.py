"""The plots of a comparison, in the order of a report page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from tune_nas.report import plots
from tune_nas.report.comparison import Comparison
from tune_nas.report.plots.accuracy_by_epoch import plot_accuracy_by_epoch
from tune_nas.report.plots.accuracy_by_size import plot_accuracy_by_size
from tune_nas.report.plots.anytime_plot import plot_anytime
from tune_nas.report.plots.by_value import plot_by_value
from tune_nas.report.plots.gap_by_epoch import plot_gap_by_epoch
from tune_nas.report.plots.operations_by_epoch import plot_operations_by_epoch
from tune_nas.report.plots.parallel_coordinates import plot_parallel_coordinates
from tune_nas.report.plots.pareto_plot import plot_pareto_front
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.search_time import plot_search_time
from tune_nas.report.plots.size_by_epoch import plot_size_by_epoch
from tune_nas.report.plots.skip_dominance import plot_skip_dominance
from tune_nas.report.plots.true_accuracies import plot_true_accuracies

_logger = logging.getLogger(__name__)
_PLOTS: tuple[Callable[[Comparison], ReportPlot | None], ...] = (
    plot_by_value,
    plot_accuracy_by_epoch,
    plot_true_accuracies,
    plot_gap_by_epoch,
    plot_operations_by_epoch,
    plot_skip_dominance,
    plot_size_by_epoch,
    plot_accuracy_by_size,
    plot_search_time,
    plot_pareto_front,
    plot_anytime,
)


def draw_plots(comparison: Comparison) -> Iterator[ReportPlot]:
    """Yield the plots that can be drawn from a comparison, each drawn when it is asked for.

    A figure of many trials takes several megabytes.
    """
    for draw in (*_PLOTS, _of_keys):
        try:
            drawn = draw(comparison)
        except Exception as error:  # e.g. of values near the largest number; the others are there
            _logger.warning("a plot is left out: %s: %s", type(error).__name__, error)
            continue
        yield from filter(None, drawn if isinstance(drawn, list) else [drawn])


def _of_keys(comparison: Comparison) -> list[ReportPlot | None]:
    """Return the plots of several swept keys together."""
    if len(comparison.axes) < 2:
        return []
    importance = plots.importance_of(comparison)
    if isinstance(importance, str):
        return [plot_parallel_coordinates(comparison, importance)]
    return [plots.plot_importance(importance), plot_parallel_coordinates(comparison)]
