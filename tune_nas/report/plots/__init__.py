"""The plots of a report page, each drawn from a comparison in a separate module.

The names below are loaded when they are first used: the importance of keys imports Optuna.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from tune_nas.report.plots.parameter_importance import (
        Importance,
        importance_of,
        plot_importance,
    )
else:
    _MODULE = "tune_nas.report.plots.parameter_importance"
    __getattr__ = lazily(
        __name__,
        {"Importance": _MODULE, "importance_of": _MODULE, "plot_importance": _MODULE},
    )

__all__ = ["Importance", "importance_of", "plot_importance"]
