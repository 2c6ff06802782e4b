"""The modules that carry out the commands, each imported when a command first needs it.

The other modules of a command declare its options and help alone, and reach these through here, so
that ``tune-nas COMMAND --help`` imports neither torch, ray, optuna nor mlflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazy_modules

__all__ = [
    "analyzing",
    "benchmark_import",
    "benchmark_query",
    "benchmark_simulation",
    "data_listing",
    "doctor_report",
    "error_line",
    "exporting",
    "extending",
    "genotype_listing",
    "inspecting",
    "listing",
    "predicting",
    "proxy_scores",
    "reporting",
    "retraining",
    "run_listing",
    "run_status",
    "run_stopping",
    "run_table",
    "run_upkeep",
    "running",
    "selecting",
    "showing",
    "space_showing",
    "ui_server",
]

if TYPE_CHECKING:
    from tune_nas.cli import (
        analyzing,
        benchmark_import,
        benchmark_query,
        benchmark_simulation,
        data_listing,
        doctor_report,
        error_line,
        exporting,
        extending,
        genotype_listing,
        inspecting,
        listing,
        predicting,
        proxy_scores,
        reporting,
        retraining,
        run_listing,
        run_status,
        run_stopping,
        run_table,
        run_upkeep,
        running,
        selecting,
        showing,
        space_showing,
        ui_server,
    )
else:
    __getattr__ = lazy_modules(__name__, __all__)
