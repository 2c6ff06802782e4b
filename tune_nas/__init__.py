"""Sweeps over differentiable neural architecture search.

The names below are loaded when they are first used: importing the package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily
from tune_nas.version import __version__

if TYPE_CHECKING:
    from tune_nas.library import load_trial
    from tune_nas.report.results import read_results
    from tune_nas.retrain.retrain import Retrain
    from tune_nas.search.search import Search
    from tune_nas.sweep.analysis_run import read_analysis, run_analysis
    from tune_nas.sweep.options import RunOptions
    from tune_nas.sweep.resolve import load_sweep
    from tune_nas.sweep.runner import resume_sweep as resume
    from tune_nas.sweep.runner import run_retrain, run_search, run_sweep
    from tune_nas.sweep.trained import load_network
else:
    __getattr__ = lazily(
        __name__,
        {
            "Retrain": "tune_nas.retrain.retrain",
            "RunOptions": "tune_nas.sweep.options",
            "Search": "tune_nas.search.search",
            "load_network": "tune_nas.sweep.trained",
            "load_sweep": "tune_nas.sweep.resolve",
            "load_trial": "tune_nas.library",
            "read_analysis": "tune_nas.sweep.analysis_run",
            "read_results": "tune_nas.report.results",
            "resume": "tune_nas.sweep.runner:resume_sweep",
            "run_analysis": "tune_nas.sweep.analysis_run",
            "run_retrain": "tune_nas.sweep.runner",
            "run_search": "tune_nas.sweep.runner",
            "run_sweep": "tune_nas.sweep.runner",
        },
    )

__all__ = [
    "Retrain",
    "RunOptions",
    "Search",
    "__version__",
    "load_network",
    "load_sweep",
    "load_trial",
    "read_analysis",
    "read_results",
    "resume",
    "run_analysis",
    "run_retrain",
    "run_search",
    "run_sweep",
]


def __dir__() -> list[str]:
    """Return the public names, so that an interactive shell completes them."""
    return list(__all__)
