"""Figures of cells, α, analyses and simulated searches; matplotlib is imported when one is drawn.

The names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from tune_nas.figures.alphas import plot_alphas
    from tune_nas.figures.analysis_plot import plot_analysis
    from tune_nas.figures.budget_curves import plot_budget_curves
    from tune_nas.figures.cell_drawing import draw_cells
    from tune_nas.figures.cell_svg import cells_svg
    from tune_nas.figures.rendering import render
else:
    __getattr__ = lazily(
        __name__,
        {
            "cells_svg": "tune_nas.figures.cell_svg",
            "draw_cells": "tune_nas.figures.cell_drawing",
            "plot_alphas": "tune_nas.figures.alphas",
            "plot_analysis": "tune_nas.figures.analysis_plot",
            "plot_budget_curves": "tune_nas.figures.budget_curves",
            "render": "tune_nas.figures.rendering",
        },
    )

__all__ = [
    "cells_svg",
    "draw_cells",
    "plot_alphas",
    "plot_analysis",
    "plot_budget_curves",
    "render",
]
