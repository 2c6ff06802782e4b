"""Where and how a sweep runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """Where and how trials run; nothing in here changes a result.

    Args:
        storage: Folder or URI that sweeps are kept in, one folder each.
        mlflow: MLflow URI; None for ``mlflow.db`` in the storage folder.
        address: A Ray cluster; None for a private Ray on this machine.
        concurrency: Trials at once; None for as many as there is room for.
        cpus_per_trial: CPUs that Ray reserves for a trial, fractions allowed.
        gpus_per_trial: GPUs, fractions allowed.
        quiet: No progress on stderr.
        live: Progress as a table that is redrawn, for a terminal; else plain lines.
        max_failures: How often a trial is tried again, from its newest checkpoint.
    """

    storage: str = "runs"
    mlflow: str | None = None
    address: str | None = None
    concurrency: int | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    quiet: bool = False
    live: bool = False
    max_failures: int = 2
