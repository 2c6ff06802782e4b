"""The rows of `tune-nas list runs`."""

from __future__ import annotations

import time
from typing import NamedTuple

from tune_nas import tracking
from tune_nas.cli.option_values import mlflow_uri
from tune_nas.paths import is_uri
from tune_nas.sweep.runs.drivers import DriverStatus, driver_status, without_runs
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_exists, store_uri
from tune_nas.tracking.tracked_run import IDENTITY, SWEEP_RUN, TrackedRun

_CLOCK = "%Y-%m-%d %H:%M:%S"
_METRICS = ("epoch", "valid_accuracy", "test_accuracy")


class RunRow(NamedTuple):
    """A run, as it is listed.

    Args:
        sweep: Name of its sweep.
        name: Name of the run.
        phase: ``sweep``, or the phase of a trial.
        status: Its status; of a running one, whether its driver is alive.
        reason: Why it ended, or how the status is known.
        started: When it was started, in seconds since 1970.
        metrics: Last epoch and accuracies, as far as known.
        run_id: Its id in MLflow; None if it is not there.
    """

    sweep: str
    name: str
    phase: str
    status: str
    reason: str
    started: float
    metrics: dict[str, float | None]
    run_id: str | None

    def cells(self) -> dict[str, object]:
        """Return the columns of the table."""
        return {
            "sweep": self.sweep,
            "name": self.name,
            "phase": self.phase,
            "status": self.status,
            "reason": self.reason,
            "started": time.strftime(_CLOCK, time.localtime(self.started)),
            **self.metrics,
            "run_id": self.run_id,
        }


def run_rows(mlflow: str | None, storage: str) -> list[dict[str, object]]:
    """Return the runs of a store, newest first; for a running one, whether its driver is alive."""
    uri = mlflow_uri(mlflow, storage)
    runs = tracking.RunReader(uri).list_runs() if store_exists(uri) else []
    identities = {run.run_id: run.tags[IDENTITY] for run in runs if IDENTITY in run.tags}
    drivers = _Drivers(storage)
    rows = [
        _tracked(run, drivers, identities.get(run.tags.get(SWEEP_RUN, run.run_id))) for run in runs
    ]
    rows += drivers.untracked(uri, set(identities.values()))
    return [row.cells() for row in sorted(rows, key=lambda row: -row.started)]


def _tracked(run: TrackedRun, drivers: _Drivers, identity: str | None) -> RunRow:
    status, reason = run.status, run.tags.get("reason", "")
    if status == "running":
        found = drivers.status(run.sweep, identity)
        status, reason = found.status, found.reason if run.phase == "sweep" else ""
    epoch = float(run.epoch) if run.epoch else None
    metrics = {"epoch": epoch, **{name: run.metrics.get(name) for name in _METRICS[1:]}}
    return RunRow(run.sweep, run.name, run.phase, status, reason, run.started, metrics, run.run_id)


class _Drivers:
    """The status of the drivers of a storage's sweeps, each examined once.

    Args:
        storage: The storage; a remote one is not contacted before it is needed.
    """

    def __init__(self, storage: str) -> None:
        self._storage = storage
        self._known: dict[tuple[str, str | None], DriverStatus] = {}

    def untracked(self, uri: str, known: set[str]) -> list[RunRow]:
        """Return rows of the started sweeps without a run in the store that they name."""
        if is_uri(self._storage):
            return []
        root = Storage(self._storage)
        return [
            RunRow(
                sweep=name,
                name=name,
                phase="sweep",
                status=found.status,
                reason=found.reason,
                started=state.started,
                metrics=dict.fromkeys(_METRICS),
                run_id=None,
            )
            for name, state in without_runs(root, known).items()
            if store_uri(state.mlflow, root) == uri and (found := self.status(name, state.identity))
        ]

    def status(self, name: str, identity: str | None) -> DriverStatus:
        """Return whether the driver of a sweep is alive."""
        if (name, identity) not in self._known:
            self._known[name, identity] = driver_status(self._storage, name, identity)
        return self._known[name, identity]
