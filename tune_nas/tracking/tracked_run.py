"""A run in the store, and the tags by which it is found."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.tracking import mlflow_names as mlflow

SWEEP, SWEEP_RUN, IDENTITY = "tune_nas.sweep", "tune_nas.sweep_run", "tune_nas.identity"
TRIAL, PHASE, PARENT = "tune_nas.trial_id", "tune_nas.phase", "mlflow.parentRunId"
EARLIER_PHASE = "tune_nas.stage"
"""The tag of the phase in runs of earlier versions."""


@dataclass(frozen=True)
class TrackedRun:
    """A run in the store.

    Args:
        state: MLflow's status: RUNNING, FINISHED, FAILED or KILLED.
        status: Status of the trial: running, finished, stopped early, failed or interrupted.
        phase: sweep, search, repeat or retrain.
        parent: Id of the run under which this one is nested.
        parameters: The parameters as text, as MLflow stores them.
        metrics: The newest value of each metric.
        epoch: The last epoch that was logged; 0 for none.
        started: Start time in seconds since 1970.
    """

    run_id: str
    name: str
    sweep: str
    phase: str
    trial_id: str | None
    parent: str | None
    state: str
    status: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    epoch: int
    tags: dict[str, str]
    started: float


def tracked_run(run: mlflow.Run) -> TrackedRun:
    """Convert a run of MLflow's client."""
    tags = run.data.tags
    return TrackedRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        sweep=tags.get(SWEEP, ""),
        phase=tags.get(PHASE, tags.get(EARLIER_PHASE, "")),
        trial_id=tags.get(TRIAL),
        parent=tags.get(PARENT),
        state=run.info.status,
        status=tags.get("status", ""),
        parameters=dict(run.data.params),
        metrics=dict(run.data.metrics),
        epoch=last_step(run),
        tags=dict(tags),
        started=run.info.start_time / 1000,
    )


def last_step(run: mlflow.Run) -> int:
    """Return the last step of the metrics of a run; 0 for none."""
    return max((int(metric.step) for metric in run.data.to_proto().metrics), default=0)
