"""Where and how a sweep runs."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tune_nas.errors import ConfigError

_KEPT = ("address", "concurrency", "cpus_per_trial", "gpus_per_trial", "together")
_CPUS, _GPUS = 1.0, 0.0
_LEAST = 0.01  # Ray counts ten-thousandths, and takes less for nothing


@dataclass(frozen=True)
class RunOptions:
    """Where and how trials run; nothing in here changes a result but for rounding.

    Args:
        storage: Folder or URI that sweeps are kept in, one folder each.
        mlflow: MLflow URI; None for ``mlflow.db`` in the storage folder.
        address: A Ray cluster; None for a private Ray on this machine.
        concurrency: Trials at once; None for as many as there is room for.
        cpus_per_trial: CPUs that Ray reserves for a trial, fractions allowed; None for 1.
        gpus_per_trial: GPUs, fractions allowed; None for 0.
        together: Searches that share a process, at most, and run their passes as one; None for 1.
        quiet: No progress on stderr.
        live: Progress as a table that is redrawn, for a terminal; else plain lines.
        max_failures: How often a trial is tried again, from its newest checkpoint.

    A resume takes what is None from what the sweep was started with.

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
    quiet: bool = False
    live: bool = False
    max_failures: int = 2

    def __post_init__(self) -> None:
        """Check the numbers: Ray would hang or fail far from here."""
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
        if self.shares_processes and (self.together or 1) * gpus > 1 + 1e-9:
            raise ConfigError(
                f"`together` is {self.together} with `gpus_per_trial` {gpus:g}, but their product "
                "must be at most 1: the trials of a process share a GPU"
            )

    @property
    def cpus(self) -> float:
        """CPUs of a trial."""
        return _CPUS if self.cpus_per_trial is None else self.cpus_per_trial

    @property
    def gpus(self) -> float:
        """GPUs of a trial."""
        return _GPUS if self.gpus_per_trial is None else self.gpus_per_trial

    @property
    def shares_processes(self) -> bool:
        """Whether searches share processes."""
        return (self.together or 1) > 1

    @property
    def remarks(self) -> list[str]:
        """What is allowed but probably not intended, a line each."""
        if self.gpus <= 1:
            return []
        return [
            f"`gpus_per_trial` is {self.gpus:g}, but a trial computes on one GPU: of each trial's "
            f"GPUs {self.gpus - 1:g} will be idle"
        ]

    def kept(self) -> dict[str, Any]:
        """Return what a resume goes on with, as far as it was given."""
        values = {name: getattr(self, name) for name in _KEPT}
        return {name: value for name, value in values.items() if value is not None}

    def or_else(self, kept: Mapping[str, Any]) -> RunOptions:
        """Return these options, and what an earlier session kept where they say nothing."""
        return replace(self, **{**kept, **self.kept()})


def storage_option(storage: str) -> str:
    """Return `` --storage …`` for a command to be typed next, or nothing where it goes unsaid."""
    said = storage == os.environ.get("TUNE_NAS_STORAGE", "runs")
    return "" if said else f" --storage {shlex.quote(storage)}"
