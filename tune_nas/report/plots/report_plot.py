"""A plot of a report page, with its caption."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportPlot:
    """A plot of a report page.

    Args:
        key: Its id in the page, e.g. ``accuracy-by-epoch``.
        title: Its heading.
        caption: What is drawn, of which trials, with n; and the figure of a paper that it follows.
        figure: The plot; text and lines have the colors of `tune_nas.figures.palette`, which the
            page replaces in dark mode.
    """

    key: str
    title: str
    caption: str
    figure: Figure
