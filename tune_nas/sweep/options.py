"""Where and how a sweep runs."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tune_nas.errors import ConfigError

_KEPT = (
    *("address", "concurrency", "cpus_per_trial", "gpus_per_trial", "together", "workers", "ray"),
    "log_model",
)
_CPUS, _GPUS = 1.0, 0.0
_LEAST = 0.01  # Ray counts in ten-thousandths, and treats less as nothing


@dataclass(frozen=True)
class RunOptions:
    """Where and how trials run; none of these options changes a result beyond rounding.

    Args:
        storage: Folder or URI in which sweeps are stored, one folder each.
        mlflow: MLflow URI; None for ``mlflow.db`` in the storage folder.
        address: Address of a Ray cluster; None for a private Ray on this machine.
        concurrency: Maximum number of concurrent trials; None for as many as fit.
        cpus_per_trial: CPUs that Ray reserves for a trial, or for each of its workers
            (``runtime.workers``), fractions allowed; None for 1.
        gpus_per_trial: GPUs likewise; None for 0.
        together: Maximum number of searches that share a process and run their passes as one;
            None for 1.
        workers: Number of processes of a retraining run, instead of ``runtime.workers``; None for
            that.
        quiet: Show no progress on stderr.
        live: Show progress as a table that is redrawn, for a terminal; otherwise as plain lines.
        max_failures: Number of times that a failed trial is retried from its newest checkpoint.
        ray: Whether Ray runs the trials: True for always, False for never, None for where it is
            needed. A search, an analysis and single retraining runs on this machine need none:
            they run in this process.
        log_model: Whether the network of the best genotype is logged as a model of its MLflow run
            once it is retrained; None for no.

    A resume takes options that are None from the start of the sweep.

    Raises:
        ConfigError: If a number is out of its range.
    """

    storage: str = "runs"
    mlflow: str | None = None
    address: str | None = None
    concurrency: int | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    together: int | None = None
    workers: int | None = None
    quiet: bool = False
    live: bool = False
    max_failures: int = 2
    ray: bool | None = None
    log_model: bool | None = None

    def __post_init__(self) -> None:
        """Validate the numbers: Ray would hang, or fail with a less clear error."""
        at_once, cpus, gpus = self.concurrency, self.cpus, self.gpus
        if at_once is not None and at_once < 1:
            raise ConfigError(f"`concurrency` is {at_once}, but must be >= 1")
        if not (math.isfinite(cpus) and cpus >= _LEAST):
            raise ConfigError(f"`cpus_per_trial` is {cpus:g}, but must be finite and >= {_LEAST:g}")
        if not (math.isfinite(gpus) and (gpus == 0 or gpus >= _LEAST)):
            rule = f"must be finite, and 0 or >= {_LEAST:g}"
            raise ConfigError(f"`gpus_per_trial` is {gpus:g}, but {rule}")
        if gpus > 1 and gpus % 1:
            raise ConfigError(
                f"`gpus_per_trial` is {gpus:g}, but must be whole if it is more than 1; try 1"
            )
        if self.together is not None and self.together < 1:
            raise ConfigError(f"`together` is {self.together}, but must be >= 1")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"`workers` is {self.workers}, but must be >= 1")
        if self.shares_processes and (self.together or 1) * gpus > 1 + 1e-9:
            raise ConfigError(
                f"`together` is {self.together} with `gpus_per_trial` {gpus:g}, but their product "
                "must be at most 1: the trials of a process share a GPU"
            )

    @property
    def cpus(self) -> float:
        """Number of CPUs of a trial."""
        return _CPUS if self.cpus_per_trial is None else self.cpus_per_trial

    @property
    def gpus(self) -> float:
        """Number of GPUs of a trial."""
        return _GPUS if self.gpus_per_trial is None else self.gpus_per_trial

    @property
    def shares_processes(self) -> bool:
        """Whether searches share processes."""
        return (self.together or 1) > 1

    @property
    def remarks(self) -> list[str]:
        """Warnings about settings that are allowed but probably not intended, one line each."""
        if self.gpus <= 1:
            return []
        return [
            f"`gpus_per_trial` is {self.gpus:g}, but a trial computes on one GPU: of each trial's "
            f"GPUs {self.gpus - 1:g} will be idle"
        ]

    def for_resume(self) -> dict[str, Any]:
        """Return the options that a resume takes over, without those that were not given."""
        values = {name: getattr(self, name) for name in _KEPT}
        return {name: value for name, value in values.items() if value is not None}

    def merged_with(self, kept: Mapping[str, Any]) -> RunOptions:
        """Return these options, with missing ones filled in from an earlier session."""
        return replace(self, **{**kept, **self.for_resume()})


def storage_option(storage: str) -> str:
    """Return `` --storage …`` for a suggested command; empty for the default storage."""
    said = storage == os.environ.get("TUNE_NAS_STORAGE", "runs")
    return "" if said else f" --storage {shlex.quote(storage)}"
