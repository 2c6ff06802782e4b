"""Metrics by swept value."""

from __future__ import annotations

from tune_nas.report.axis_plot import axis_note, plot_axis
from tune_nas.report.comparison import Comparison
from tune_nas.report.plots.report_plot import ReportPlot
from tune_nas.report.plots.trial_groups import group_trials


def plot_by_value(comparison: Comparison) -> ReportPlot | None:
    """Draw metrics against the swept values; None if no key is swept or no search can be ranked."""
    if not comparison.axes or not comparison.ranking() or not group_trials(comparison):
        return None
    note = axis_note(comparison)
    caption = f"{note[0].upper()}{note[1:]}."
    return ReportPlot("by-value", "By swept value", caption, plot_axis(comparison, stacked=True))
